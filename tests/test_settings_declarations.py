"""Every parameter reaches what its declaration says, and nothing else: a walk over all of them, which names none."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from bootcamp_cli.cli.docs import parameter_table
from bootcamp_cli.engine.identity import VERIFIERS, answer_differences, identity_of
from bootcamp_cli.engine.plan import Plan, make_plan
from bootcamp_cli.engine.session import manifest_of
from bootcamp_cli.errors import DatasetError, ResumeRefusedError, SettingsError
from bootcamp_cli.settings.model import ApiMode, Parameter, Settings, identity_keys, listed_keys, parameters
from bootcamp_cli.settings.sources import Resolved, Sources, load_settings
from bootcamp_cli.settings.stored import settings_from_eval_args, to_eval_args
from bootcamp_cli.settings.warnings import mode_warnings
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from bootcamp_cli.verification import executor
from tests.conftest import RunBootcamp

MODES: tuple[ApiMode, ...] = get_args(ApiMode)
ROW = json.dumps({"data_source": "Sudoku", "prompt": "p", "ground_truth": {}}) + "\n"
RIDDLE = json.dumps({"data_source": "Riddle", "prompt": "p", "ground_truth": {}}) + "\n"
BASE = {"model_name": "a model", "skip_invalid": "true", "allow_unscored": "true"}
"""The flags of every plan here: the test dir has a row that cannot be read, and one that only a package verifies."""

every_parameter = pytest.mark.parametrize("parameter", parameters(), ids=lambda parameter: parameter.name)


@pytest.fixture(autouse=True)
def every_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extras count as installed: a plan looks for what its executor needs, and nothing here runs one."""
    monkeypatch.setattr(executor, "find_spec", lambda _: object())


@pytest.fixture
def test_dir(tmp_path: Path) -> Path:
    """Two test files, one of them with a row that cannot be read, and beside them a package of bootcamps."""
    package_in(tmp_path / "package", "one")
    return data_in(tmp_path / "data")


def data_in(directory: Path) -> Path:
    """The same test files as everywhere here, in a directory."""
    directory.mkdir()
    (directory / "a.jsonl").write_text(ROW + RIDDLE)
    (directory / "b.jsonl").write_text(ROW + "no row\n")
    return directory


def data_and_package_in(directory: Path) -> Path:
    """The test files in a directory that is good for all that a path may be asked to hold."""
    return package_in(data_in(directory), "another")


def package_in(directory: Path, version: str) -> Path:
    """A package internbootcamp in a directory, with a bootcamp whose code tells its version."""
    package = directory / "internbootcamp" / "bootcamp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .riddle import Riddlebootcamp\n")
    (package / "riddle.py").write_text(f"class Riddlebootcamp:\n    version = {version!r}\n")
    return directory


def other_text(parameter: Parameter, place: Path) -> str | list[str]:  # noqa: PLR0911, PLR0912 - one for each kind
    """What a flag would say to give a parameter another value than it has in `plan_of`, whatever the parameter is."""
    param = parameter.param
    match param.kind:
        case "text":
            return "r1"
        case "url":
            return "http://127.0.0.2:9/v2"
        case "command":
            return "another-server --port {port}"
        case "secret" | "prompt":
            return "another-text"
        case "path" | "data":
            return str(data_and_package_in(place / "elsewhere"))
        case "integer" | "number" | "duration":
            lowest = param.minimum if param.minimum is not None else param.above or 0
            default = parameter.default if isinstance(parameter.default, int | float) else lowest
            above = default + 1 if param.maximum is None or default + 1 <= param.maximum else param.maximum
            return f"{above:g}s" if param.kind == "duration" else f"{above:g}"
        case "switch":
            return "false" if BASE.get(parameter.name) == "true" or parameter.default is True else "true"
        case "choice":
            return next(choice for choice in parameter.choices if choice != parameter.default)
        case "words" | "globs":
            return ["b*"]
        case "json":
            return '{"another_key": 1}'
        case "headers":
            return '{"X-Another": "b"}'
        case "shard":
            return "1/2"
        case "endpoints":
            return '[{"url": "http://127.0.0.2:9/v1"}]'


def loaded(test_dir: Path, flags: dict[str, Any]) -> Resolved:
    """Settings of flags alone."""
    places = {"test_dir": str(test_dir), "bootcamps_path": str(test_dir.parent / "package")}
    return load_settings(Sources(flags=places | BASE | flags, env={}, cwd=test_dir.parent))


def plan_of(test_dir: Path, flags: dict[str, Any]) -> Plan | None:
    """The plan of an evaluation, None where the test data are refused."""
    settings = loaded(test_dir, flags).settings
    template = next(template for template in BUILTIN_TEMPLATES if template.name == settings.template)
    try:
        return make_plan(settings, template, sys_prompt=settings.sys_prompt)
    except DatasetError:
        return None


def body_of(plan: Plan | None) -> dict[str, Any]:
    """The request body of a plan, as the server reads it."""
    assert plan is not None
    body: dict[str, Any] = json.loads(plan.generation.body("p"))
    return body


@every_parameter
@pytest.mark.parametrize("api_mode", MODES)
def test_what_is_sent_is_in_the_body(parameter: Parameter, api_mode: ApiMode, test_dir: Path) -> None:
    """In both modes the body has the value under its key; what is sent under no key leaves them as they are.

    What names keys is sent itself nowhere: what it does to others has a test of its own.
    """
    before = body_of(plan_of(test_dir, {"api_mode": api_mode}))
    flags = {"api_mode": api_mode, parameter.name: other_text(parameter, test_dir.parent)}
    plan = plan_of(test_dir, flags)
    if plan is None:
        assert parameter.param.sent_as is None
        return
    after = body_of(plan)
    key = parameter.param.sent_as
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    if parameter.param.names_keys:
        return
    if key is None:
        assert not changed & {other.param.sent_as for other in parameters() if not stands_for_more(other)}
        return
    value = getattr(plan.settings, parameter.name)
    sent = after[key]
    assert key in changed
    assert set(value) <= set(sent) if isinstance(value, tuple) else sent == value


def stands_for_more(parameter: Parameter) -> bool:
    """Whether the body has more under the key than the parameter's value: the template's words before the user's."""
    return parameter.repeatable


@every_parameter
def test_what_decides_is_in_the_identity(parameter: Parameter, test_dir: Path) -> None:
    """Another value of what decides answers or scores gives another identity or no plan, in one mode; no other does."""
    text = other_text(parameter, test_dir.parent)
    n_changed = 0
    for api_mode in MODES:
        before = plan_of(test_dir, {"api_mode": api_mode})
        after = plan_of(test_dir, {"api_mode": api_mode, parameter.name: text})
        assert before is not None
        n_changed += after is None or before.identity() != after.identity()
        if after is not None and parameter.param.decides != "answers":
            assert not answer_differences(before.identity(), after.identity())
    assert bool(n_changed) == (parameter.param.decides is not None)


@every_parameter
def test_what_is_sent_decides_answers(parameter: Parameter) -> None:
    """What is in the body decides the answers, but for `stream`, which says how they come."""
    if parameter.param.sent_as is not None and parameter.name != "stream":
        assert parameter.param.decides == "answers"


@every_parameter
def test_what_generation_is_told_decides_answers(parameter: Parameter) -> None:
    """A parameter of the group Generation decides the answers, and one that is a number is sent."""
    if parameter.param.group == "Generation":
        assert parameter.param.decides == "answers"
        assert parameter.param.sent_as is not None or parameter.param.kind not in ("integer", "number")


@every_parameter
def test_what_decides_is_refused_by_resume(parameter: Parameter, test_dir: Path) -> None:
    """A flag with another value is refused for a started run where it decides answers, and else is taken."""
    run = to_eval_args(loaded(test_dir, {}).settings)

    def resumed() -> Settings:
        flags = {parameter.name: other_text(parameter, test_dir.parent)}
        sources = Sources(flags=flags, env={}, cwd=test_dir.parent)
        return settings_from_eval_args(run, place="eval_args.json", sources=sources).settings

    if parameter.param.decides != "answers":
        assert getattr(resumed(), parameter.name) != getattr(loaded(test_dir, {}).settings, parameter.name)
    else:
        with pytest.raises(ResumeRefusedError, match=f"{parameter.flag}: the run has "):
            resumed()


@every_parameter
def test_extra_body_over_what_is_sent_is_told(parameter: Parameter, test_dir: Path) -> None:
    """A key of extra_body that stands for a parameter is refused or warned about, with both names."""
    key = parameter.param.sent_as
    if key is None:
        return
    try:
        resolved = loaded(test_dir, {"extra_body": json.dumps({key: 1})})
    except SettingsError as refusal:
        told = [refusal.message]
    else:
        told = mode_warnings(resolved)
    assert told in (
        [f"--extra-body: must not hold the key {key}: it is set by the tool"],
        [f"--extra-body: {key} overrides the parameter {parameter.name}"],
    )


@every_parameter
def test_what_decides_answers_is_listed_in_the_workbook(parameter: Parameter) -> None:
    """The workbook lists by name what decides the answers, but for what the digests of the files hold."""
    is_listed = parameter.param.decides == "answers" and parameter.param.held_as != "files"
    assert (parameter.name in listed_keys()) == is_listed


def test_the_order_of_the_workbook() -> None:
    """The workbook lists model, mode, prompt, sampling and the choice of rows, in this order."""
    keys = listed_keys()
    prompt = ("template", "template_text", "bos", "sys_prompt")
    first = ("model_name", "api_mode", *prompt, "max_tokens", "temperature", "top_p")
    assert keys[: len(first)] == first
    assert keys[-8:] == ("stop", "extra_body", "include", "exclude", "limit", "sample", "sample_seed", "shard")


@pytest.mark.parametrize("missing", [key for key in identity_keys() if key != VERIFIERS])
@pytest.mark.parametrize("api_mode", MODES)
def test_an_identity_without_a_key_is_that_of_the_default(missing: str, api_mode: ApiMode, test_dir: Path) -> None:
    """A run of a version that did not know a parameter is the run of its default, whatever that is."""
    plan = plan_of(test_dir, {"api_mode": api_mode})
    assert plan is not None
    manifest = manifest_of(plan)
    older = replace(manifest, identity={key: value for key, value in manifest.identity.items() if key != missing})
    differing = answer_differences(identity_of(older), plan.identity())
    assert differing == ([missing] if missing in ("model_name", "api_mode") and differing else [])


def test_every_parameter_is_shown_everywhere(run_bootcamp: RunBootcamp, tmp_path: Path) -> None:
    """Help, the README table, eval_args.json and `config show` have every parameter."""
    names = [parameter.name for parameter in parameters()]
    text = run_bootcamp("eval", "--help").stdout
    assert [parameter.name for parameter in parameters() if f"{parameter.flag} " not in text] == []
    assert [row.split("`")[1] for row in parameter_table().splitlines()[2:]] == names
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    assert [name for name in names if f"\n| `{name}` | " not in readme] == []
    assert list(to_eval_args(Settings())) == names
    assert list(json.loads(run_bootcamp("config", "show", "--json").stdout)) == names
