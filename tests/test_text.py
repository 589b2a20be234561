"""Text from elsewhere neither acts on a terminal nor runs in a spreadsheet, and no secret shows in it."""

import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.reports.table import display_width
from bootcamp_cli.text import (
    MASK,
    Secret,
    Secrets,
    as_text,
    encodable,
    is_formula,
    is_secret_key,
    length_text,
    mask_credentials,
    mask_mapping,
    one_line,
    score_text,
    secret_texts,
    shortened,
    shown_url,
    strip_credentials,
    url_credentials,
    url_secrets,
    visible,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Also with controls and lone surrogates."""


SECRET_KEYS = [
    "api_key",
    "X-Api-Key",
    "apikey",
    "openaiApiKey",
    "key",
    "token",
    "hf_token",
    "accessToken",
    "secret",
    "client_secret",
    "password",
    "db-passwd",
    "Authorization",
    "auth",
    "credentials",
    "Cookie",
]
OPEN_KEYS = [
    "max_tokens",
    "max_completion_tokens",
    "stop_token_ids",
    "add_special_tokens",
    "skip_special_tokens",
    "top_k",
    "eos_token",
    "token_healing",
    "thinking_token_budget",
    "prompt_cache_key",
    "return_tokens_as_token_ids",
    "chat_template_kwargs",
    "keyword",
    "monkey",
    "author",
    "n",
    "",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sudokubootcamp", "Sudokubootcamp"),
        ("数独é", "数独é"),
        ("a\u3000b\xa0", r"a\u3000b\xa0"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\u202etxt\u2066", r"\u202etxt\u2066"),
        ("\x9b1m\u2028\ud800\ufffe", r"\x9b1m\u2028\ud800\ufffe"),
    ],
)
def test_hidden_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    """Controls, bidi overrides, separators, surrogates and noncharacters become escapes; all else stays."""
    assert visible(text) == shown


@given(ANY_TEXT)
def test_visible_text_holds_nothing_hidden(text: str) -> None:
    """What comes out is one line of UTF-8 without controls or invisible formats, and does not change a second time."""
    shown = visible(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown.encode().decode() == shown == visible(shown)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_formulas_are_recognised(text: str) -> None:
    """What Excel, LibreOffice or Google Sheets may run is seen as a formula."""
    assert is_formula(text)
    assert as_text(text) == f"'{text}"


@given(ANY_TEXT)
def test_guarded_text_is_no_formula_and_can_be_had_back(text: str) -> None:
    """A guarded text never starts a formula, and without its leading apostrophe it is the text again."""
    guarded = as_text(text)
    assert not is_formula(guarded)
    assert guarded.removeprefix("'") == text


@given(ANY_TEXT)
def test_encodable_text_can_be_written(text: str) -> None:
    """It is the text itself unless that holds lone surrogates, which become escapes."""
    shown = encodable(text)
    assert shown.encode().decode() == shown
    assert (shown == text) != any(0xD800 <= ord(char) < 0xE000 for char in text)


def test_display_width_counts_terminal_cells() -> None:
    """A wide character takes two cells, a combining one none."""
    assert [display_width(text) for text in ("abc", "数独", "e\u0301", "")] == [3, 4, 1, 0]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secret_keys(key: str) -> None:
    """Keys that say secret are masked at any depth, in lists and tables alike."""
    masked = mask_mapping({"a": [{key: "MARK"}], key: {"b": ["MARK", 5, None, True]}})
    assert masked == {"a": [{key: MASK}], key: {"b": [MASK, MASK, None, True]}}


@pytest.mark.parametrize("key", OPEN_KEYS)
def test_open_keys(key: str) -> None:
    """Generation parameters with token or key in their names are not masked."""
    assert not is_secret_key(key)
    assert mask_mapping({key: "x"}) == {key: "x"}


@given(st.text(min_size=4))
def test_redacted_text_holds_no_secret(secret: str) -> None:
    """A secret of any characters is found in plain text and in JSON."""
    if secret in MASK * 4 or secret in json.dumps({"a": MASK}):
        return
    assert Secrets.of([secret]).redact(f"<{secret}>") == f"<{MASK}>"
    assert Secrets.of([secret]).redact(json.dumps({"a": secret})) == json.dumps({"a": MASK})


def test_secret_shows_itself_masked() -> None:
    """A secret reveals its text on demand only, and compares by it."""
    secret = Secret("MARK")
    assert (str(secret), repr(secret), f"{secret}") == (MASK, MASK, MASK)
    assert secret.reveal() == "MARK"
    assert secret == Secret("MARK") != Secret("other")
    assert hash(secret) == hash(Secret("MARK"))


def test_url_credentials() -> None:
    """Credentials of a URL are taken out, masked or read, percent-decoded."""
    url = "https://us%40er:p%2Fw@host:1/v1?a=b"
    assert strip_credentials(url) == "https://host:1/v1?a=b"
    assert mask_credentials(url) == "https://***@host:1/v1?a=b"
    assert url_credentials(url) == ("us@er", "p/w")
    assert url_credentials("https://host/v1") is None
    assert mask_credentials("https://host/v1") == "https://host/v1"


def test_secret_query_is_masked() -> None:
    """Values of a URL's query whose names say secret are masked, others stay."""
    assert mask_credentials("http://h/v1?api-version=1&api-key=k") == "http://h/v1?api-version=1&api-key=***"


@given(st.text())
def test_shown_text_is_one_printable_line(text: str) -> None:
    """Whatever a server or a user gives, what is shown is printable and can be encoded."""
    for shown in (one_line(text), shown_url(text)):
        assert shown.isprintable()
        shown.encode()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:1/v1?api-key=s3cret#s3cret", "http://h:1/v1"),
        ("http://u:s3cret@h/v1?a=b@c", "http://h/v1"),
        ("http://h/v1?mail=a@b", "http://h/v1"),
        ("http://u:s3/cret@h/v1", "http://h/v1"),
        ("http://u:s3?cret@h/v1", "http://h/v1"),
        ("http://u:s3#cret@h/v1?a=b", "http://h/v1"),
        ("u:s3cret@h/v1", "h/v1"),
        ("h:1/v1?key=s3cret", "h:1/v1"),
        ("/login?next=a@b", "/login"),
        ("http://a b\x1b@h", "http://h"),
    ],
)
def test_a_shown_url_holds_no_secret(url: str, shown: str) -> None:
    """A URL, or what was meant to be one, is shown without query, fragment and whatever may be a password."""
    assert shown_url(url) == shown


@pytest.mark.parametrize("url", ["http://us3r:pass%2Fw@h:1", "http://us3r:pass/w@h:1", "us3r:pass%2Fw@h:1/v1?x=1"])
def test_credentials_come_back_in_every_form(url: str) -> None:
    """The credentials of a URL, usable or not, are known as written, decoded, quoted, and as a Basic authorization."""
    written = url.removeprefix("http://").partition("@")[0]
    password = written.removeprefix("us3r:")
    assert set(url_secrets(url)) == {written, password, "us3r:pass/w", "pass/w", "pass%2Fw", "dXMzcjpwYXNzL3c="}


def test_what_is_secret_of_a_request() -> None:
    """Key, header values and their tokens, named parts of query and body are secret; EMPTY and the rest are not."""
    headers = {"Authorization": "Bearer to-ken", "X-Mode": "fast"}
    texts = secret_texts(url="http://h/v1?sig=a%2Fb&v=1", api_key="k3y", headers=headers, body={"n": 1, "token": ["t"]})
    assert texts == ("k3y", "Bearer to-ken", "to-ken", "fast", "t", "a%2Fb", "a/b")
    assert secret_texts(url="http://h/v1", api_key="EMPTY") == ()


def test_a_longer_secret_is_redacted_before_one_that_it_holds() -> None:
    """Of secrets that hold each other nothing stays, also where two sets are joined."""
    assert Secrets.of(["abcd", "abcdef"]).redact("abcdef abcd") == "*** ***"
    assert (Secrets.of(["abcd"]) | Secrets.of(["abcdef"])).redact("abcdef abcd") == "*** ***"


def test_short_secrets_garble_nothing() -> None:
    """Texts of fewer than 4 characters, also when white space is collapsed, are replaced nowhere."""
    assert Secrets.of(["a", "é", "b   c", "  d  "]).redact("a é b c d") == "a é b c d"


def test_redacted_values_keep_their_names() -> None:
    """In a JSON value every text is redacted, at any depth; names, numbers and null stay."""
    value = {"s3cret": ["s3cret", 1, None, {"a": "x s3cret"}]}
    assert Secrets.of(["s3cret"]).redacted(value) == {"s3cret": [MASK, 1, None, {"a": f"x {MASK}"}]}


def test_no_secret_shows_in_a_repr() -> None:
    """The repr of the secrets has none of them."""
    assert "s3cret" not in repr(Secrets.of(["s3cret"]))


@pytest.mark.parametrize(
    ("text", "line"), [("abcd", "abcd"), ("abcde", "abc…"), ("a\nb", r"a\nb"), ("a\nbc", "a\\n…"), ("", "")]
)
def test_shortened_text_is_one_line(text: str, line: str) -> None:
    """A shortened text is printable, and with its ellipsis no longer than asked for."""
    assert shortened(text, 4) == line


@pytest.mark.parametrize(
    ("score", "digits", "shown"),
    [
        (0.78125, 4, "0.7813"),
        (0.78135, 4, "0.7814"),  # a little less in binary
        (0.625, 2, "0.63"),
        (-0.625, 2, "-0.63"),
        (0.99995, 4, "1.0000"),
        (1.0, 3, "1.000"),
        (0.1 + 0.2, 4, "0.3000"),
        (1e300, 2, f"1{'0' * 300}.00"),
        (math.nan, 2, "nan"),
        (-math.inf, 2, "-inf"),
    ],
)
def test_scores_are_rounded_as_spreadsheets_do(score: float, digits: int, shown: str) -> None:
    """Halves go away from zero by the decimal form, whatever the binary one is."""
    assert score_text(score, digits) == shown


@given(st.floats(-1, 2), st.integers(2, 6))
def test_a_rounded_score_is_near(score: float, digits: int) -> None:
    """It has the asked decimals and is at most half a unit of the last one away."""
    text = score_text(score, digits)
    assert len(text.partition(".")[2]) == digits
    assert abs(float(text) - score) <= 0.5 * 10**-digits + 1e-12


@pytest.mark.parametrize(
    ("length", "shown"), [(158.25, "158.3"), (158.35, "158.4"), (1234.0, "1,234.0"), (0.0, "0.0"), (math.nan, "nan")]
)
def test_lengths_are_rounded_as_scores_are(length: float, shown: str) -> None:
    """One decimal, halves up, thousands grouped."""
    assert length_text(length) == shown
