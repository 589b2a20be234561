"""Redaction: secrets are found in what others say, and paths and commands of the tool stay what they are."""

import shlex
import string
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bootcamp_cli.text import MASK, Redaction, Secrets, command_secrets, command_words, mask_command

WORDS = ["test", "demo", "output", "resume", "bootcamp", "failures", "jsonl", "2026", "internbootcamp", "r1"]
LONG_KEYS = ["sk-proj-8f3kd92mfls0", "hf_aBcDeFgHiJkLmNoPqRsT12", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"]
PATH = "/data/test runs/output/demo_test_20260101_120000"
LINE = f"bootcamp: error: 3 failures; fix that and run `bootcamp resume '{PATH}'`, see {PATH}/failures.jsonl"

keys = st.text(string.ascii_letters + string.digits + "-_.", min_size=4, max_size=40)


def redaction(*secrets: str, shown: tuple[str, ...] = ()) -> Redaction:
    """What a command knows."""
    known = Redaction()
    known.add(secrets, shown=shown)
    return known


@pytest.mark.parametrize("key", WORDS)
def test_a_key_that_is_a_word_garbles_nothing_of_the_tools_own(key: str) -> None:
    """No path, command or sentence of the tool changes for a key that is a common word."""
    assert redaction(key).own(LINE) == LINE


@given(data=st.data())
def test_no_key_garbles_a_path_that_is_shown_in_any_case(data: st.DataObject) -> None:
    """Any part of a path that the user gave may be the key: the path is shown as it is, and the command with it."""
    start = data.draw(st.integers(0, len(PATH) - 4))
    key = PATH[start : data.draw(st.integers(start + 4, len(PATH)))]
    assert redaction(key, shown=(PATH,)).own(LINE) == LINE


@given(key=keys)
def test_a_key_within_a_longer_name_is_not_taken_for_it(key: str) -> None:
    """A key of fewer than 16 characters is left alone where it is part of a path or a name."""
    assume(len(key) < 16)
    for text in (f"output/{key}_model/details", f"a{key}", f"{key}.jsonl:3: x", f"tests/{key}", f"`x {key}-v2`"):
        assert redaction(key).own(text) == text


@pytest.mark.parametrize("key", LONG_KEYS)
@pytest.mark.parametrize("form", ["{}", "a{}b", "http://u:{}@h/v1", "Bearer {}", "output/{}/x", '{{"k": "{}"}}'])
def test_a_long_key_shows_nowhere(key: str, form: str) -> None:
    """A key as services give them out is masked wherever it stands, in the tool's own text as in others'."""
    text = form.format(key)
    assert redaction(key).own(text) == redaction(key).foreign(text) == form.format(MASK)


@given(key=st.text(string.ascii_letters + string.digits, min_size=16, max_size=60))
def test_any_random_key_shows_nowhere(key: str) -> None:
    """Every long mix of letters and digits is such a key."""
    assume(any(c.isdigit() for c in key) and any(c.isalpha() for c in key) and key not in "bootcamp: error:")
    assert key not in redaction(key).own(f"bootcamp: error: x{key}x")


@pytest.mark.parametrize(
    ("key", "text", "masked"),
    [
        ("test", "Incorrect API key provided: test.", f"Incorrect API key provided: {MASK}."),
        ("test", '{"key": "test", "latest": "contest"}', f'{{"key": "{MASK}", "latest": "contest"}}'),
        ("test", r"who are you?\ntest", rf"who are you?\n{MASK}"),
        ("test", r"\u003dtest user%3Atest%40h", rf"\u003d{MASK} user%3A{MASK}%40h"),
        ("test", "http://user:test@h/v1?k=test", f"http://user:{MASK}@h/v1?k={MASK}"),
        ("sk-test", "xsk-testx sk-test", f"x{MASK}x {MASK}"),
    ],
)
def test_a_short_key_is_found_in_what_others_say(key: str, text: str, masked: str) -> None:
    """A word is masked as a whole word, anything else wherever it stands."""
    assert Secrets.of([key]).redact(text) == redaction(key).foreign(text) == masked


def test_what_is_kept_stays_in_what_others_say() -> None:
    """A text that is shown in any case is not searched; what stands around it is."""
    url = "http://test.example/v1"
    assert Secrets.of(["test"]).redact(f"cannot connect to {url}: test", keep=(url,)) == f"cannot connect to {url}: ***"
    assert redaction("test", shown=("output/test",)).foreign("test in output/test") == "*** in output/test"


@given(key=keys, kept=st.lists(st.text(max_size=3) | keys), text=st.text())
def test_nothing_that_is_kept_hides_a_secret(key: str, kept: list[str], text: str) -> None:
    """What is kept has no effect on a secret that is not part of it, nor on one that equals it."""
    assume(not any(key in name and key != name for name in kept))
    for around in (f" {key} ", f"{text} {key} {text}"):
        assert Secrets.of([key]).redact(around, keep=kept) == Secrets.of([key]).redact(around)


def test_credentials_and_short_keys_are_masked_in_the_tools_own_text_as_well() -> None:
    """What is neither a word nor part of a name is masked where it stands for itself."""
    assert redaction("sk-marked").own("key sk-marked, sk-marked-2") == f"key {MASK}, sk-marked-2"
    assert redaction("user:test", "test").own("http user:test@h") == f"http {MASK}@h"


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("vllm serve Qwen/Qwen3-8B --port {port}", "vllm serve Qwen/Qwen3-8B --port {port}"),
        ("vllm serve M --api-key sk-1234 --port {port}", "vllm serve M --api-key *** --port {port}"),
        ("vllm serve M --api-key=sk-1234 -tp 8", "vllm serve M --api-key=*** -tp 8"),
        ("env HF_TOKEN=hf_abc A=b llama-server -m x.gguf", "env HF_TOKEN=*** A=b llama-server -m x.gguf"),
        ("serve --api-key 'a b\\'", "serve --api-key ***"),
        ("serve --api-key a'b'c -x 'y z'", "serve --api-key *** -x 'y z'"),
        ("proxy --upstream http://u:pw123@h/v1", "proxy --upstream http://***@h/v1"),
        ("""serve --config '{"api_key": "sk-1234", "x": 1}'""", """serve --config '{"api_key": "***", "x": 1}'"""),
        ("serve --ssl-keyfile /k.pem --api-key-file /k", "serve --ssl-keyfile /k.pem --api-key-file /k"),
        ("serve --max-num-batched-tokens 8192 --tokenizer T", "serve --max-num-batched-tokens 8192 --tokenizer T"),
        ("serve --api-key serve", "serve --api-key ***"),
    ],
)
def test_a_command_is_masked_and_stays_legible(command: str, masked: str) -> None:
    """What follows an option that is called like a secret is masked, all else is as it was written."""
    assert mask_command(command) == masked


QUOTED: dict[str, Callable[[str], str]] = {
    "single": shlex.quote,
    "double": lambda key: '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"',
    "none": lambda key: "".join(f"\\{char}" for char in key),
}


@given(
    key=st.text(string.ascii_letters + string.digits + " '\"\\=-$", min_size=8, max_size=30),
    quotation=st.sampled_from(sorted(QUOTED)),
    joint=st.sampled_from(" ="),
)
def test_a_key_in_a_command_is_masked(key: str, quotation: str, joint: str) -> None:
    """However a key is quoted, it is masked, and all else is as it was written."""
    assume(not key.startswith("-"))
    quoted = QUOTED[quotation](key)
    assert command_words(quoted) == [key]
    command = f"vllm serve M --api-key{joint}{quoted} --port {{port}} --name 'a b'"
    assert command_secrets(command) == [key]
    assert mask_command(command) == command.replace(quoted, MASK)


@pytest.mark.parametrize("blank", ["\N{NO-BREAK SPACE}", "\v", "\x1c"])
def test_what_is_no_blank_to_a_shell_parts_no_words(blank: str) -> None:
    """A key is found behind every character that looks like a blank and is none."""
    assert mask_command(f"a{blank}b {blank} --api-key K") == f"a{blank}b {blank} --api-key {MASK}"
