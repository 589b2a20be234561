"""How options may be written, and how declared settings become options and flags."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import bootcamp_cli
from bootcamp_cli.cli.command import is_on, with_bare_booleans
from bootcamp_cli.cli.demo import demo_command
from bootcamp_cli.cli.eval import eval_command
from bootcamp_cli.cli.options import ALL_SETTINGS, Call, Flags, command, given_text
from bootcamp_cli.errors import SettingsError, UsageError
from bootcamp_cli.settings.model import parameters
from bootcamp_cli.text import Redaction

BOOLEANS = sorted(p.name for p in parameters() if p.param.kind == "switch")
VALUED = sorted(p.name for p in parameters() if p.param.kind != "switch" and not p.repeatable)

GUIDE = (
    "--url http://127.0.0.1:8000/v1 --api_key EMPTY --model_name r1_32B --test_dir /path/to/test_dir "
    "--max_concurrent_requests 128 --template r1 --max_tokens 32768 --temperature 0 --timeout 6000 "
    "--api_mode completion --max_retries 16 --max_retrying_delay 60 --resume"
)


def flags_of(*words: str) -> Flags:
    """The flags that `bootcamp eval` gets from these words."""
    context = eval_command.make_context("eval", list(words))
    return {name: text for name in ALL_SETTINGS if (text := given_text(context.params[name])) is not None}


def test_the_guides_command_gives_its_flags() -> None:
    """The guide's command parses word for word, its underscores and its bare last `--resume` included."""
    assert flags_of(*GUIDE.split()) == {
        "url": ["http://127.0.0.1:8000/v1"],
        "api_key": "EMPTY",
        "model_name": "r1_32B",
        "test_dir": ["/path/to/test_dir"],
        "max_concurrent_requests": "128",
        "template": "r1",
        "max_tokens": "32768",
        "temperature": "0",
        "timeout": "6000",
        "api_mode": "completion",
        "max_retries": "16",
        "max_retrying_delay": "60",
        "resume": "true",
    }


def test_what_is_not_given_is_no_flag() -> None:
    """Without words there are no flags, so that every other source counts."""
    assert flags_of() == {}


def _words_of(name: str, value: object, draw: st.DrawFn) -> list[str]:
    """One of the ways to write an option."""
    dash = draw(st.sampled_from("-_"))
    flag = f"--{name.replace('_', dash)}"
    if isinstance(value, str):
        return [f"{flag}={value}"] if draw(st.booleans()) else [flag, value]
    negation = f"--no{dash}{name.replace('_', dash)}"
    words = ("true", "yes", "1", "on") if value else ("false", "no", "0", "off")
    word = draw(st.sampled_from(words))
    word = draw(st.sampled_from([word, word.upper(), word.title()]))
    bare = [flag] if value else [negation]
    return draw(st.sampled_from([bare, [flag, word], [f"{flag}={word}"]]))


@st.composite
def written_lines(draw: st.DrawFn) -> tuple[Flags, list[str]]:
    """Flags, and a command line that means them."""
    values = draw(
        st.dictionaries(
            st.sampled_from(VALUED), st.one_of(st.text(min_size=1), st.sampled_from(["--json", "--", "-1"]))
        )
    )
    switches = draw(st.dictionaries(st.sampled_from(BOOLEANS), st.booleans()))
    parts = [*values.items(), *switches.items()]
    words = [word for name, value in draw(st.permutations(parts)) for word in _words_of(name, value, draw)]
    return {**values, **{name: "true" if value else "false" for name, value in switches.items()}}, words


@given(written_lines())
def test_any_way_to_write_a_line_means_the_same(line: tuple[Flags, list[str]]) -> None:
    """Dashed, underscored, attached, bare, valued and negated options all parse to the same flags."""
    flags, words = line
    assert flags_of(*words) == flags


@given(st.lists(st.text()))
def test_words_behind_two_dashes_are_left_alone(words: list[str]) -> None:
    """Nothing behind `--` is rewritten."""
    assert with_bare_booleans(["--", *words], booleans={"--resume": "--no-resume"}, valued=()) == ["--", *words]


@pytest.mark.parametrize("word", ["output/run", "truely", "2", "t", "--json", ""])
def test_a_bare_boolean_swallows_no_other_word(word: str) -> None:
    """The word behind a bare boolean option is its value only where it is one of the eight words."""
    assert with_bare_booleans(["--resume", word], booleans={"--resume": "--no-resume"}, valued=()) == ["--resume", word]


def test_a_wrong_boolean_names_its_flag() -> None:
    """A boolean option with another value behind `=` is refused by name."""
    with pytest.raises(SettingsError, match=r"--resume: must be true or false, got 'maybe'"):
        flags_of("--resume=maybe")


def test_the_last_of_several_counts() -> None:
    """An option given twice, however it is written, has its last value; a repeatable one has all."""
    flags = flags_of("--max_tokens", "1", "--max-tokens=2", "--resume", "--no-resume", "--stop", "a", "--stop=b")
    assert flags == {"max_tokens": "2", "resume": "false", "stop": ["a", "b"]}


def test_a_command_gets_its_call_and_its_own_arguments() -> None:
    """The decorated function receives flags, sources and console in its call, its own parameters from typer."""
    seen: list[tuple[Call, str, bool]] = []

    @command(settings=("max_tokens",), example="bootcamp probe x")
    def probe(
        call: Call,
        run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR")],
        dry_run: Annotated[bool, typer.Option("--dry-run/--no-dry-run")] = False,  # noqa: FBT002 - a flag of typer
    ) -> int:
        """Probe."""
        seen.append((call, run_dir, dry_run))
        return 3

    words = ["--dry_run", "true", "r", "--max_tokens", "5", "--config", "c.toml", "--profile", "p", "--json", "--debug"]
    with probe.make_context("probe", words, obj=Redaction()) as context:
        code = probe.invoke(context)
    [(call, run_dir, dry_run)] = seen
    assert (code, run_dir, dry_run) == (3, "r", True)
    assert call.flags == {"max_tokens": "5"}
    assert (call.config, call.profile, call.debug) == ("c.toml", "p", True)
    assert (call.console.json, call.console.quiet) == (True, False)


def test_a_command_without_settings_reads_no_sources() -> None:
    """A command that reads no settings has neither --config nor --profile nor any setting."""

    @command(example="bootcamp probe")
    def probe(call: Call) -> int:
        """Probe."""
        return len(call.flags)

    assert {option.name for option in probe.params} == {"json", "quiet", "debug", "help"}


def test_hidden_settings_are_accepted_and_not_shown() -> None:
    """A hidden setting parses, and the help does not name it."""

    @command(settings=ALL_SETTINGS, hidden=("top_k",), example="bootcamp probe")
    def probe(call: Call) -> int:
        """Probe."""
        return len(call.flags)

    with probe.make_context("probe", ["--top-k", "4"], obj=Redaction()) as context:
        assert probe.invoke(context) == 1
        assert "--top-k" not in probe.get_help(context)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eval", "--json"], True),
        (["--json", "false"], False),
        (["--json=no"], False),
        (["--json", "--no_json"], False),
        (["--json=what"], False),
        (["--", "--json"], False),
        (["eval"], False),
    ],
)
def test_a_flag_is_seen_on_a_line_that_may_be_wrong(words: list[str], expected: bool) -> None:  # noqa: FBT001
    """Whether errors are wanted as JSON is known before, and even where parsing fails."""
    assert is_on("--json", words) is expected


def test_only_public_names_of_typer_are_used() -> None:
    """No module of the package reaches into typer's private modules, which differ from release to release."""
    package = Path(bootcamp_cli.__file__).parent
    assert [path.name for path in package.rglob("*.py") if "typer._" in path.read_text("utf-8")] == []


@pytest.mark.parametrize(("flag", "noun"), [("--rows", "an integer"), ("--latency", "a number")])
def test_a_wrong_number_names_its_flag(flag: str, noun: str) -> None:
    """A number of a command's own is converted by this tool: the message is the same with every typer."""
    with pytest.raises(UsageError, match=rf"{flag}: must be {noun}, got 'x'"):
        demo_command.make_context("demo", [flag, "x"])
