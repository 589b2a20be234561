"""Whatever stands in settings files, variables and words, the tool says in one line what is wrong."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.cli.app import COMMANDS, EntryGroup
from bootcamp_cli.settings.model import parameters
from tests.chaos.figure import tell
from tests.chaos.invocation import NOWHERE, Said, invoke_decently, isolate
from tests.chaos.strategies import damaged_bytes, native_texts, texts, tuned

PARAMETERS = tuple(parameters())
EXAMPLE = b"""\
url = "http://127.0.0.1:1/v1"
model_name = "m"
stop = ["a", "b"]
timeout = "10m"
extra_body = { chat_template_kwargs = { enable_thinking = false } }
headers = { X-A = "b" }

[profile.quick]
limit = 8

[templates.mine]
text = "<|user|>{input}<|assistant|>"
stop = ["<|end|>"]
system_prompt = "Think."
"""
TOML_VALUES = (
    *(
        "nan",
        "-inf",
        "1e400",
        "0x10",
        "1979-05-27T07:32:00Z",
        "07:32:00",
        "true",
        "[]",
        "{}",
        "[[[1]]]",
        "{a = {b = 1}}",
    ),
    *("-1", "0", "99999999999999999999999", "1.5", '""', '"\\u0000"', '"@/nowhere"', '"10 parsecs"', "'''\n\n'''"),
)
COMMON_WORDS = ("--json", "--quiet", "--debug", "--help", "--", "-", "=", "--=", "---", "--no-json", "-h", "true", "no")
SLOW = frozenset({"wait", "poll_interval", "url", "check_model_url", "timeout", "idle_timeout"})
"""Parameters that could make a command wait, or contact a server."""


def toml_string(text: str) -> str:
    """A text as a TOML string."""
    escaped = "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in text)
    return f'"{escaped}"'


toml_values = st.sampled_from(TOML_VALUES) | texts.filter(lambda t: "\ud800" not in t).map(toml_string)
toml_lines = st.builds(
    "{} = {}".format, st.sampled_from([parameter.name for parameter in PARAMETERS]), toml_values
) | st.builds("[{}.{}]\n{} = {}".format, st.sampled_from(("profile", "templates")),
              texts.filter(lambda t: "\ud800" not in t).map(toml_string),
              st.sampled_from(("limit", "text", "stop", "system_prompt", "nonsense")), toml_values)  # fmt: skip
toml_files = (
    st.lists(toml_lines, max_size=4).map(lambda lines: "\n".join(lines).encode())
    | damaged_bytes(EXAMPLE)
    | st.binary(max_size=60)
)


def words_of_commands() -> list[tuple[str, ...]]:
    """Every command but those that serve, install or wait."""
    words: list[tuple[str, ...]] = []
    for name, entry in COMMANDS.items():
        words += [(name, inner) for inner in entry.entries] if isinstance(entry, EntryGroup) else [(name,)]
    return [command for command in words if command not in (("demo",), ("completion", "install"))]


option_words = st.sampled_from(
    [
        *COMMON_WORDS,
        *(
            word
            for parameter in PARAMETERS
            if parameter.name not in SLOW
            for word in (parameter.flag, parameter.guide_flag)
        ),
        *("--format", "--sort", "--filter", "--reverse", "--dry-run", "--probe", "--profile", "--config"),
    ]
)
words = option_words | native_texts | st.builds("{}={}".format, option_words, native_texts)


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[int]:
    """Counts the ends of commands, in an environment of its own."""
    isolate(monkeypatch, tmp_path)
    return Counter()


def test_settings_files(codes: Counter[int], tmp_path: Path, long_form: bool) -> None:
    """A settings file of any content is read or refused in one line that names it."""
    file = tmp_path / "given.toml"

    @tuned(quick=40, long=30_000, is_long=long_form)
    @given(
        toml_files,
        st.sampled_from((("config", "show"), ("config", "show", "--profile", "quick"), ("templates", "list"))),
    )
    def check(content: bytes, command: tuple[str, ...]) -> None:
        file.write_bytes(content)
        said = invoke_decently(*command, "--config", file)
        assert said.code in (0, 2)
        assert said.code == 0 or "given.toml" in said.err or "profile" in said.err, said
        codes[said.code] += 1

    check()
    tell(f"settings files: {codes.total()} tried, exit codes {dict(sorted(codes.items()))}")


def test_variables(codes: Counter[int], monkeypatch: pytest.MonkeyPatch, long_form: bool) -> None:
    """A variable of any content is taken or refused in one line that names it."""

    @tuned(quick=40, long=30_000, is_long=long_form)
    @given(st.dictionaries(st.sampled_from([parameter.env for parameter in PARAMETERS]), native_texts, max_size=3))
    def check(variables: dict[str, str]) -> None:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            said = invoke_decently("config", "show")
        assert said.code == 0 or (said.code == 2 and any(name in said.err for name in variables)), said
        codes[said.code] += 1

    check()
    tell(f"variables: {codes.total()} environments tried, exit codes {dict(sorted(codes.items()))}")


def test_words(codes: Counter[int], monkeypatch: pytest.MonkeyPatch, long_form: bool) -> None:
    """Words of any kind behind any command end as documented."""
    monkeypatch.setenv("BOOTCAMP_URL", NOWHERE)
    monkeypatch.setenv("BOOTCAMP_WAIT", "0")

    @tuned(quick=60, long=30_000, is_long=long_form)
    @given(st.sampled_from(words_of_commands()), st.lists(words, max_size=5))
    def check(command: tuple[str, ...], options: list[str]) -> None:
        codes[calm(*command, *options).code] += 1

    check()
    tell(f"command lines: {codes.total()} tried, exit codes {dict(sorted(codes.items()))}")


def calm(*argv: str) -> Said:
    """Run a command, `--debug` left out: the traceback that it asks for is no finding."""
    return invoke_decently(*(word for word in argv if not word.replace("_", "-").startswith("--debug")))
