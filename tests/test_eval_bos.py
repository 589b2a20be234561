"""A template's begin-of-sentence token: dropped where the server adds its own, and settled for a whole run."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from bootcamp_cli import Settings, evaluate_async
from bootcamp_cli.engine.identity import answer_differences, identity_of
from bootcamp_cli.engine.plan import Plan, make_plan
from bootcamp_cli.engine.session import manifest_of
from bootcamp_cli.errors import ResumeRefusedError, SettingsError
from bootcamp_cli.server.health import doubles
from bootcamp_cli.settings.sources import Sources
from bootcamp_cli.settings.stored import settings_from_eval_args, to_eval_args
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES, choose, template_catalog
from tests.raw_server import Reply, client_of, closing, completion, http, serving, serving_paths

BOS = "<｜begin▁of▁sentence｜>"
ROW = json.dumps({"data_source": "Sudoku", "prompt": "p", "ground_truth": {}}) + "\n"


def counted(n_tokens: Any) -> bytes:
    """An answer to a prompt of so many tokens."""
    return http(200, completion(usage={"prompt_tokens": n_tokens, "completion_tokens": 1}))


@pytest.fixture
def test_dir(tmp_path: Path) -> Path:
    """A test dir with one question."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.jsonl").write_text(ROW)
    return tmp_path / "tests"


def test_templates_declare_their_token() -> None:
    """Each built-in template that begins with the token says so, and one of the user must begin with what it names."""
    assert [template.name for template in BUILTIN_TEMPLATES if template.bos == BOS] == ["r1", "deepseek_v3"]
    assert all(template.text.startswith(template.bos) for template in BUILTIN_TEMPLATES)
    assert not any(template.without_bos().text.startswith(BOS) for template in BUILTIN_TEMPLATES)
    own = template_catalog({"mine": ({"text": "<s>{input}", "bos": "<s>"}, "here")})
    assert choose(own, "mine", "here").without_bos().render("p") == "p"
    with pytest.raises(SettingsError, match="bos: the text must begin with it"):
        template_catalog({"mine": ({"text": "{input}", "bos": "<s>"}, "here")})


@pytest.mark.parametrize(
    ("reply", "doubled"),
    [
        (counted(2), True),
        (counted(1), False),
        (counted(11), False),
        (counted("2"), False),
        (http(200, completion()), False),
        (http(400, "no"), False),
        (closing(b""), False),
    ],
)
def test_what_a_server_counts(reply: Reply, *, doubled: bool) -> None:
    """Two tokens for the token alone mean that it came twice; any other count and any error do not."""

    async def scenario() -> None:
        async with serving(reply) as server, client_of(server.url) as client:
            assert await doubles(client, BOS) == doubled
        body = json.loads(server.bodies[0])
        assert (body["prompt"], body["max_tokens"]) == (BOS, 1)

    anyio.run(scenario)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("bos", "n_tokens", "sent", "settled"),
    [
        ("auto", 2, [BOS, "<｜User｜>p<｜Assistant｜>"], "drop"),
        ("auto", 1, [BOS, f"{BOS}<｜User｜>p<｜Assistant｜>"], "keep"),
        ("keep", 2, [f"{BOS}<｜User｜>p<｜Assistant｜>"], "keep"),
        ("drop", 1, ["<｜User｜>p<｜Assistant｜>"], "drop"),
    ],
)
async def test_a_run_is_sent_one_token(bos: str, n_tokens: int, sent: list[str], settled: str, test_dir: Path) -> None:
    """A new run asks where that is open, says what it drops, and keeps that, as does what resumes it."""
    replies: dict[str, Reply] = {"/v1/models": http(200, {"data": [{"id": "m"}]}), "/v1/completions": counted(n_tokens)}
    notes: list[str] = []
    values: dict[str, Any] = {"template": "deepseek_v3", "test_dir": test_dir, "output_dir": test_dir.parent / "out"}
    async with serving_paths(replies) as server:
        settings = Settings(url=server.url, model_name="m", bos=bos, **values)  # type: ignore[arg-type]
        run = await evaluate_async(settings, lambda event: notes.append(getattr(event, "message", "")))
        assert [json.loads(body)["prompt"] for body in server.bodies if body] == sent
        again = Settings(url=server.url, model_name="m", resume=True, repeats=2, **values)
        extended = await evaluate_async(again)
        assert extended.path == run.path
        assert [json.loads(body)["prompt"] for body in server.bodies if body] == [*sent, sent[-1]]
    manifest = json.loads((run.path / "manifest.json").read_text("utf-8"))
    assert (manifest["identity"]["bos"], manifest["template"]["bos"]) == (settled, BOS)
    assert manifest["identity"]["template_text"].startswith(BOS)
    assert any("--bos keep sends both" in note for note in notes) == (bos == "auto" and settled == "drop")


def plan_of(test_dir: Path, **values: Any) -> Plan:
    """A plan with deepseek's template."""
    settings = Settings(model_name="m", test_dir=test_dir, template="deepseek_v3", **values)
    template = next(template for template in BUILTIN_TEMPLATES if template.name == "deepseek_v3")
    return make_plan(settings, template, sys_prompt=None)


def test_an_explicit_choice_must_match(test_dir: Path) -> None:
    """Auto is like a run of either value, keep and drop only like their own, and a manifest without it means kept."""
    kept, dropped, auto = plan_of(test_dir, bos="keep"), plan_of(test_dir, bos="drop"), plan_of(test_dir)
    for run, value in ((kept, "keep"), (dropped, "drop")):
        before = identity_of(manifest_of(run))
        assert before["bos"] == value
        assert not answer_differences(before, auto.beside(before).identity())
        for other in (kept, dropped):
            assert answer_differences(before, other.beside(before).identity()) == ([] if other is run else ["bos"])
    manifest = manifest_of(dropped)
    older = replace(manifest, identity={key: value for key, value in manifest.identity.items() if key != "bos"})
    assert identity_of(older)["bos"] == "keep"
    assert plan_of(test_dir, api_mode="chat_completion", bos="drop").identity()["bos"] == "keep"


@pytest.mark.parametrize(("stored", "fitting"), [("keep", "keep"), ("drop", "drop"), (None, "keep"), ("auto", "keep")])
def test_resume_takes_the_runs_own(stored: str | None, fitting: str, test_dir: Path) -> None:
    """The flag auto leaves a run what it is, the run's own value is taken, and another is refused."""
    data = to_eval_args(plan_of(test_dir).settings) | {"bos": stored}

    def resumed(flag: str) -> str:
        sources = Sources(flags={"bos": flag}, env={}, cwd=test_dir)
        return settings_from_eval_args(data, place="eval_args.json", sources=sources).settings.bos

    assert resumed("auto") == (stored or "auto")
    assert resumed(fitting) == fitting
    with pytest.raises(ResumeRefusedError, match=f"--bos: the run has {fitting}"):
        resumed("drop" if fitting == "keep" else "keep")
