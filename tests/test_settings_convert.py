"""From raw values to values, and what is said about wrong ones."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.settings.convert import Base, convert, duration_number, format_duration, parse_duration, seconds_of
from bootcamp_cli.settings.model import EndpointSettings, Settings, parameters, parameters_by_name
from bootcamp_cli.text import Secret


def value(name: str, raw: object) -> Any:
    """The converted value, from a place called `here`."""
    return convert(parameters_by_name()[name], raw, "here")


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_durations_round_trip(seconds: float) -> None:
    """A formatted duration is read back as the same number of seconds."""
    assert parse_duration(format_duration(seconds), "s") == seconds


@given(st.integers(min_value=1, max_value=10**12))
def test_bare_milliseconds_round_trip(milliseconds: int) -> None:
    """A timeout in milliseconds survives the way to seconds and back, as an integer."""
    number = duration_number(seconds_of(milliseconds, "ms"), "ms")
    assert number == milliseconds
    assert type(number) is int


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("1H 30M", 5400), ("1.5h", 5400), ("2d", 172800)],
)
def test_duration_units(text: str, seconds: float) -> None:
    """Units work for every duration, whatever a bare number means there."""
    assert value("timeout", text) == value("idle_timeout", text) == seconds


@pytest.mark.parametrize("raw", ["6000", 6000, 6000.0, "6e3"])
def test_bare_number_is_milliseconds_for_timeout_alone(raw: object) -> None:
    """A bare number means milliseconds for timeout and seconds for every other duration, in text and in TOML."""
    assert value("timeout", raw) == 6.0
    others = [p.name for p in parameters() if p.param.kind == "duration" and p.name != "timeout"]
    assert [value(name, raw) for name in others] == [6000.0] * len(others)


@pytest.mark.parametrize("text", ["", "s", "1x", "30m1h", "1m1m", "-5s", "1h-5m", "1:30", "nan", "inf", "½h"])
def test_no_duration(text: str) -> None:
    """What is no duration is refused with the value and examples."""
    with pytest.raises(SettingsError, match=r"^here: must be a duration such as 90s, 10m, 1h30m, 250ms"):
        value("wait", text)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("max_tokens", 0, "must be at least 1, got 0"),
        ("max_tokens", "0", "must be at least 1, got 0"),
        ("max_tokens", "1.0", "must be a whole number, got '1.0'"),
        ("max_tokens", True, "must be a whole number, got true"),
        ("max_tokens", 2.0, "must be a whole number, got 2.0"),
        ("max_tokens", "9" * 5000, "must be a whole number, got"),
        ("max_concurrent_requests", 0, "must be at least 1, got 0"),
        ("max_retries", -1, "must be at least 0, got -1"),
        ("temperature", "-0.1", "must be at least 0, got -0.1"),
        ("temperature", math.inf, "must be a finite number, got inf"),
        ("temperature", "1e999", "must be a finite number, got '1e999'"),
        ("temperature", "nan", "must be a number, got 'nan'"),
        ("temperature", 10**400, "must be a finite number, got a huge number"),
        ("top_p", 0, "must be more than 0, got 0"),
        ("top_p", "1.01", "must be at most 1, got 1.01"),
        ("min_p", 1.5, "must be at most 1, got 1.5"),
        ("repetition_penalty", 0, "must be more than 0, got 0"),
        ("presence_penalty", "-2.1", "must be at least -2, got -2.1"),
        ("frequency_penalty", 3, "must be at most 2, got 3"),
        ("timeout", 0, "must be more than 0s, got 0"),
        ("timeout", 10**400, "must be at most 8784h"),
        ("wait", -1, "must be at least 0s, got -1"),
        ("poll_interval", "0s", "must be more than 0s, got 0s"),
        ("verify_memory", 1, "must be at least 64, got 1"),
        ("resume", "maybe", "must be true or false (or yes, no, 1, 0, on, off), got 'maybe'"),
        ("resume", 1, "must be true or false"),
        ("api_mode", "chat", "must be one of completion, chat_completion, got 'chat'"),
        ("api_mode", "chat-completion", "did you mean chat_completion?"),
        ("model_name", 7, "must be a string, got 7"),
        ("model_name", " ", "must not be empty"),
        ("model_name", "a\x1bb", "must be one line without control characters, got 'a\\x1bb'"),
        ("test_dir", "", "must be a path, got ''"),
        ("stop", ["a", 1], "must be a string or a list of strings, got a list"),
        ("stop", [""], "must not hold an empty string"),
        ("api_key", "", "must not be empty; use EMPTY for a server that needs no key"),
        ("extra_body", '{"a": }', "must be a JSON object: expecting value at line 1 column 7"),
        ("extra_body", "[1]", "must be a JSON object or a table"),
        ("extra_body", '{"a": NaN}', "must be JSON, which has no NaN"),
        ("extra_body", {"a": {"b": [math.inf]}}, "must hold finite numbers, but a.b is not one"),
        ("extra_body", '{"messages": []}', "must not hold the key messages"),
        ("extra_body", '{"a":' * 100_000, "must be a JSON object"),
        (
            "url",
            "http://h/v1/chat/completions/",
            "must be the base URL, not that of /chat/completions, got 'http://h/v1/chat",
        ),
        ("url", "http://a..b/v1", "must have a usable host name, got 'http://a..b/v1'"),
        ("extra_body", '{"a": %s}' % ("9" * 5000), "must be a JSON object without numbers of thousands of digits"),
        ("headers", {"Content-Length": "1"}, "must not hold header Content-Length: it is set for each request"),
        ("headers", {"a b": "c"}, "must hold valid header names, got 'a b'"),
        ("headers", {"A": "1", "a": "2"}, "must hold header a once"),
    ],
)
def test_wrong_values(name: str, raw: object, message: str) -> None:
    """A wrong value is refused with its place, the bound or the type, and the value."""
    with pytest.raises(SettingsError) as caught:
        value(name, raw)
    assert str(caught.value).startswith("here: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("word", ["true", "YES", "1", "On", True])
def test_true_words(word: object) -> None:
    """Switches take true, yes, 1 and on in any case."""
    assert value("resume", word) is True


@pytest.mark.parametrize("word", ["false", "NO", "0", "Off", False])
def test_false_words(word: object) -> None:
    """Switches take false, no, 0 and off in any case."""
    assert value("resume", word) is False


@pytest.mark.parametrize("raw", [{"X-Key": "a\r\nSECRETMARK"}, {"X-Key": "SECRETMARK\0"}, {"X-Key": " SECRETMARK"}])
def test_header_value_that_cannot_be_sent_is_not_shown(raw: dict[str, str]) -> None:
    """A header value with line breaks or control characters is refused by its name, without the value."""
    with pytest.raises(SettingsError, match="header X-Key") as caught:
        value("headers", raw)
    assert "SECRETMARK" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("http://h/v1/", "http://h/v1"),
        ("HTTPS://h:8443//", "https://h:8443"),
        (" http://u:p%40@h/v1 ", "http://u:p%40@h/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://h/v1/?api-version=1", "http://h/v1?api-version=1"),
    ],
)
def test_url_in_one_form(raw: str, url: str) -> None:
    """A URL loses the slashes at its end and keeps credentials and query."""
    assert value("url", raw) == url


@pytest.mark.parametrize(
    "raw",
    [
        "ftp://me:SECRETMARK@h",
        "http://me:SECRET/MARK@h/v1",
        "http://me:SECRETMARK@",
        "http://me:SECRETMARK@h:99999/v1",
        "http://me:SECRETMARK@h:port/v1",
        "http://me:SECRETMARK@[::1/v1",
        "http://me:SECRETMARK@h/v1#x",
        "http://me:SECRET MARK@h/v1",
        "http://1/SECRETMARK@h/v1",
        "me:SECRETMARK@h",
        "localhost:8000",
        "http:///v1",
        "http://h\\@evil/v1",
        "",
    ],
)
def test_wrong_url_shows_no_credentials(raw: str) -> None:
    """What is no http URL with a host is refused without showing a password."""
    with pytest.raises(SettingsError) as caught:
        value("url", raw)
    assert "MARK" not in str(caught.value)


def test_prompt_from_a_file(tmp_path: Path) -> None:
    """@FILE is read as UTF-8 without byte order mark and last line break; @@ is a literal @."""
    (tmp_path / "p.txt").write_bytes("\ufeffBe brief.\nÜber alles.\r\n".encode())
    parameter = parameters_by_name()["sys_prompt"]
    base = Base(directory=tmp_path)
    assert convert(parameter, "@p.txt", "here", base=base) == "Be brief.\nÜber alles."
    assert convert(parameter, "@@p.txt", "here", base=base) == "@p.txt"
    assert convert(parameter, "a@p.txt", "here", base=base) == "a@p.txt"


def test_prompt_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A prompt file that is missing, too large or not UTF-8 is named."""
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    (tmp_path / "big.txt").write_bytes(b"a" * (2 << 20))
    parameter = parameters_by_name()["sys_prompt"]
    for name, what in [("no", "No such file"), ("latin.txt", "invalid byte"), ("big.txt", "at most"), ("", "path")]:
        with pytest.raises(SettingsError, match=what):
            convert(parameter, f"@{name}", "here", base=Base(directory=tmp_path))


@pytest.mark.parametrize("parameter", parameters(), ids=lambda parameter: parameter.name)
@given(raw=st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text()), st.dates()))
def test_any_value_is_taken_or_refused(parameter: Any, raw: object) -> None:
    """Whatever raw value meets whatever parameter: a value, or one line that begins with the place."""
    try:
        convert(parameter, raw, "here")
    except SettingsError as error:
        message = str(error)
    else:
        message = "here: "
    assert message.startswith("here: ")
    assert message.isprintable()


@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        (EndpointSettings(url="junk"), "be an http or https URL"),
        (EndpointSettings(url="http://h:1/v1", api_key=Secret("a b")), "consist of visible ASCII"),
        (EndpointSettings(url="http://h:1/v1", headers={"a\n": "b"}), "hold valid header names"),
        (EndpointSettings(url="http://h:1/v1", max_concurrent_requests=0), "have a whole number from 1"),
    ],
)
def test_an_endpoint_made_in_python_is_checked(endpoint: EndpointSettings, what: str) -> None:
    """What no table of a settings file may hold, no object may hold either."""
    with pytest.raises(SettingsError, match=what):
        Settings(endpoints=(endpoint,))


def test_an_endpoint_made_in_python_is_the_one_of_a_table() -> None:
    """An object and an object of JSON give the same endpoint."""
    made = EndpointSettings(url="HTTP://h:1/v1/", api_key=Secret("k-1234"), headers={"X": "y"}, data_parallel_ranks=2)
    table = {"url": "http://h:1/v1", "api_key": "k-1234", "headers": {"X": "y"}, "data_parallel_ranks": 2}
    assert Settings(endpoints=(made,)).endpoints == value("endpoints", [table])


def test_settings_have_the_defaults_of_the_guide() -> None:
    """The defaults are those of the guide, durations in seconds."""
    defaults = Settings()
    assert (defaults.url, defaults.api_key.reveal()) == ("http://127.0.0.1:8000/v1", "EMPTY")
    assert (defaults.max_tokens, defaults.temperature, defaults.timeout) == (32768, 0.0, 6000.0)
    assert (defaults.max_retries, defaults.max_retrying_delay, defaults.max_concurrent_requests) == (16, 60.0, 128)
    assert (defaults.template, defaults.api_mode, defaults.check_model_url) == ("chatml", "completion", True)
    assert (defaults.wait, defaults.poll_interval, defaults.idle_timeout) == (3600.0, 60.0, 300.0)
    assert (defaults.verify_timeout, defaults.verify_memory, defaults.output_dir) == (10.0, 2048, Path("output"))
