"""The fault server's faults: their notation, their draw, and what each does to a real client."""

import json
import math
from collections.abc import Callable

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import SettingsError
from tests.completions import chat, completion, events, fault_server
from tests.fault_server.config import FaultServerConfig
from tests.fault_server.faults import Arrival, Fault, choose, parse_fault
from tests.fault_server.menu import FAULTS, fault_kind
from tests.fault_server.server import serve

shares = st.floats(min_value=0, max_value=1)
counts = st.none() | st.integers(min_value=0, max_value=10**6)
fault_values = st.builds(
    Fault,
    name=st.sampled_from(["500", "drop", "reset-body"]),
    probability=shares,
    on=st.sampled_from(["completions", "models"]),
    first=counts,
    after=st.integers(min_value=0, max_value=10**6),
    attempts=counts,
    sample=counts,
    options=st.dictionaries(
        st.sampled_from(["seconds", "limit"]), st.floats(min_value=0, allow_infinity=False, allow_nan=False)
    ).map(lambda options: tuple(options.items())),
)


@given(fault_values)
def test_the_notation_round_trips(fault: Fault) -> None:
    """A fault, written and read, is the same fault."""
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    "spec", ["", "500:2", "500:-0.1", "500:nan", "500:x", "500:0.1:first", "500:first=-1", "500:on=moon", "A b"]
)
def test_wrong_notation_is_refused(spec: str) -> None:
    """What is no fault is a settings error that quotes it."""
    with pytest.raises(SettingsError, match="fault: "):
        parse_fault(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("dorp", "did you mean 'drop'"),
        ("200", "no '200'"),
        ("drop:seconds=1", "takes no options"),
        ("unlisted", "to comp"),
    ],
)
def test_faults_that_do_not_exist_are_refused(spec: str, said: str) -> None:
    """An unknown name, option or route is a settings error that helps."""
    with pytest.raises(SettingsError) as refused:
        fault_kind(parse_fault(spec))
    assert said in str(refused.value)


def test_shares_add_up_and_attempts_draw_anew() -> None:
    """Over many prompts each fault meets its share of requests, and no prompt fails for ever."""
    faults = [parse_fault("500:0.1"), parse_fault("drop:0.2")]

    def draw(prompt: int, attempt: int) -> str:
        arrival = Arrival(on="completions", prompt=str(prompt), n_earlier=9, n_attempts=attempt)
        fault = choose(faults, arrival, seed=0)
        return fault.name if fault else "none"

    drawn = [draw(prompt, 0) for prompt in range(5000)]
    assert abs(drawn.count("500") / 5000 - 0.1) < 0.02
    assert abs(drawn.count("drop") / 5000 - 0.2) < 0.02
    assert all("none" in {draw(prompt, attempt) for attempt in range(20)} for prompt in range(100))
    assert drawn == [draw(prompt, 0) for prompt in range(5000)]


def test_faults_are_limited_by_count_attempt_and_route() -> None:
    """`first`, `after`, `attempts`, `sample` and `on` decide to which requests a fault applies at all."""

    def meets(spec: str, n_earlier: int, n_attempts: int, number: int | None = None) -> bool:
        arrival = Arrival(on="completions", prompt="p", n_earlier=n_earlier, n_attempts=n_attempts, number=number)
        return choose([parse_fault(spec)], arrival, seed=0) is not None

    assert [meets("503:first=2", n, 0) for n in range(4)] == [True, True, False, False]
    assert [meets("503:after=2", n, 0) for n in range(4)] == [False, False, True, True]
    assert [meets("503:attempts=1", 9, n) for n in range(3)] == [True, False, False]
    assert [meets("503:sample=1", 9, 0, number) for number in (0, 1, None)] == [False, True, False]
    assert not meets("503:on=models", 0, 0)


ANSWERS: dict[str, Callable[[httpx.Response], bool]] = {
    "500": lambda r: r.status_code == 500 and "message" in r.json()["error"],
    "429:retry-after=31536000": lambda r: r.headers["retry-after"] == "31536000",
    "429-nonsense": lambda r: r.status_code == 429 and not r.headers["retry-after"].isdigit(),
    "redirect:port=9": lambda r: r.status_code == 307 and r.headers["location"] == "http://127.0.0.1:9/v1/completions",
    "markup": lambda r: r.status_code == 500 and r.text.count("<style ") == 3000,
    "no-content": lambda r: r.status_code == 200 and not r.content,
    "429:retry-after=0.5": lambda r: r.status_code == 429 and r.headers["retry-after"] == "0.5",
    "503:retry-after-date=9": lambda r: r.status_code == 503 and r.headers["retry-after"].endswith("GMT"),
    "400-context:limit=100": lambda r: r.status_code == 400 and "maximum context length" in r.text,
    "400-context:limit=5000": lambda r: r.status_code == 200 and bool(r.json()["choices"]),
    "404-model": lambda r: r.status_code == 404 and "does not exist" in r.text,
    "html": lambda r: r.status_code == 200 and r.text.startswith("<html>"),
    "html:status=502": lambda r: r.status_code == 502,
    "error-200": lambda r: r.status_code == 200 and "error" in r.json(),
    "empty-choices": lambda r: r.json()["choices"] == [],
    "null-choice": lambda r: (r.json()["choices"][0]["text"], r.json()["choices"][0]["finish_reason"]) == (None, None),
    "null-content": lambda r: (
        (r.json()["choices"][0]["text"], r.json()["choices"][0]["finish_reason"]) == (None, "stop")
    ),
    "cut-off": lambda r: r.json()["choices"][0]["finish_reason"] == "abort",
    "no-usage": lambda r: "usage" not in r.json() and bool(r.json()["choices"][0]["text"]),
    "other-model": lambda r: r.json()["model"] == "another-model",
    "slow:seconds=0.05": lambda r: r.elapsed.total_seconds() >= 0.05 and r.status_code == 200,
    "close": lambda r: r.status_code == 200 and "connection" not in r.headers,
    "huge:mib=1": lambda r: len(r.content) > 2**20 and "choices" in r.json(),
    "huge:mib=1:declared=1": lambda r: int(r.headers["content-length"]) == len(r.content) > 2**20,
    "gzip": lambda r: r.headers["content-encoding"] == "gzip" and bool(r.json()["choices"]),
    "gzip-bomb:mib=3": lambda r: len(r.content) > 3 * 2**20 and "choices" in r.json(),
    "gzip-members:mib=1": lambda r: r.headers["content-encoding"] == "gzip",
    "wrong-type": lambda r: r.headers["content-type"].startswith("text/plain") and "choices" in r.json(),
    "invalid-utf8": lambda r: b"\xff\xfe" in r.content,
    "deep-json": lambda r: b"[" * 100_000 in r.content,
    "deep-usage": lambda r: b"[" * 900 in r.content,
    "negative-usage": lambda r: r.json()["usage"]["completion_tokens"] < 0,
    "huge-usage": lambda r: r.json()["usage"]["completion_tokens"] == 10**400,
    "nan": lambda r: math.isnan(r.json()["usage"]["completion_tokens"]),
    "long-model": lambda r: len(r.json()["model"]) == 2**20,
    "stream-error": lambda r: "error" in r.json(),
    "unasked-stream": lambda r: r.text.startswith("data: {") and r.text.endswith("data: [DONE]\n\n"),
    "reset-after": lambda r: r.status_code == 200 and bool(r.json()["choices"]),
    "http10": lambda r: (r.http_version, r.status_code) == ("HTTP/1.0", 200) and bool(r.json()["choices"]),
    "slow-head:seconds=0.0001": lambda r: r.status_code == 200 and bool(r.json()["choices"]),
    "drip:seconds=0.0001": lambda r: r.status_code == 200 and bool(r.json()["choices"]),
    "truncated-json": lambda r: r.status_code == 200 and r.text.startswith("{") and not r.text.endswith("}"),
}
_RESET = (httpx.ReadError, httpx.RemoteProtocolError)  # anyio before 4.16 takes a reset for an end
CUTS: dict[str, type[Exception] | tuple[type[Exception], ...]] = {
    "drop": httpx.RemoteProtocolError,
    "drop-body": httpx.RemoteProtocolError,
    "reset": _RESET,
    "reset-body": _RESET,
    "no-http": httpx.RemoteProtocolError,
    "endless-head": httpx.RemoteProtocolError,
    "broken-chunks": httpx.RemoteProtocolError,
    "hang": httpx.ReadTimeout,
    "stall": httpx.ReadTimeout,
}
ELSEWHERE = ("unlisted:on=models", "deep-list:on=models", "pings", "other-encoding")


def test_every_fault_of_the_table_is_shown_here() -> None:
    """No row of the table goes without a test of what it does."""
    shown = {parse_fault(spec).name for spec in [*ANSWERS, *CUTS, *ELSEWHERE]}
    assert set(FAULTS) <= shown


@pytest.mark.anyio
@pytest.mark.parametrize("spec", ANSWERS)
async def test_faults_that_reply(spec: str) -> None:
    """The fault's reply arrives as its name says, once; the next request is served as if nothing had been."""
    async with fault_server(faults=(parse_fault(f"{spec}:first=1"),)) as (_, client):
        met = await client.post("/completions", json=completion())
        after = await client.post("/completions", json=completion())
    assert ANSWERS[spec](met), met.text[:300]
    assert after.json()["choices"][0]["text"]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spec", CUTS)
async def test_faults_that_cut_the_connection(spec: str, *, stream: bool) -> None:
    """The client sees a broken or silent connection, the server counts a cut request, and the next one is served."""
    async with fault_server(faults=(parse_fault(f"{spec}:first=1"),)) as (server, client):
        with pytest.raises(CUTS[spec]):
            await client.post("/completions", json=completion(stream=stream), timeout=0.2)
        after = await client.post("/completions", json=completion())
        assert after.status_code == 200
        assert server.traffic.statuses["cut"] == 1
        assert server.traffic.answered.total() == 1


@pytest.mark.anyio
async def test_faults_of_the_model_list() -> None:
    """Faults with `on=models` meet the list of models alone."""
    faults = tuple(parse_fault(spec) for spec in ("404:on=models:first=1", "unlisted:on=models:first=2"))
    async with fault_server(faults=faults) as (_, client):
        replies = [await client.get("/models") for _ in range(3)]
        assert (await client.post("/completions", json=completion())).status_code == 200
    assert replies[0].status_code == 404
    assert [reply.json()["data"][0]["id"] for reply in replies[1:]] == ["another-model", "demo"]


@pytest.mark.anyio
async def test_a_list_of_models_may_be_deep() -> None:
    """The model is listed, with an entry that only a parser with much depth reads."""
    async with fault_server(faults=(parse_fault("deep-list:on=models"),)) as (_, client):
        assert b"[" * 900 in (await client.get("/models")).content


@pytest.mark.anyio
async def test_an_encoding_may_be_claimed() -> None:
    """The reply names an encoding that it does not have."""
    async with (
        fault_server(faults=(parse_fault("other-encoding"),)) as (_, client),
        client.stream("POST", "/completions", json=completion()) as reply,
    ):
        assert reply.headers["content-encoding"] == "br"


@pytest.mark.anyio
async def test_a_stream_may_consist_of_comments() -> None:
    """Comments keep the stream open, and no event comes."""
    async with (
        fault_server(faults=(parse_fault("pings:seconds=0.01"),)) as (_, client),
        client.stream("POST", "/completions", json=completion(stream=True)) as reply,
    ):
        lines = reply.aiter_lines()
        assert {await anext(lines) for _ in range(6)} == {": still here", ""}


@pytest.mark.anyio
async def test_a_stream_may_end_in_an_error() -> None:
    """The second half of the stream is one event with an error."""
    async with fault_server(faults=(parse_fault("stream-error"),)) as (_, client):
        text = (await client.post("/completions", json=completion(stream=True))).text
    assert "error" in json.loads(text.rstrip().split("data: ")[-1])
    assert "[DONE]" not in text


@pytest.mark.anyio
async def test_faults_edit_streams_and_chats_too() -> None:
    """Faults that change the answer do so in every form of it."""
    faults = tuple(parse_fault(spec) for spec in ("null-content:first=2", "empty-choices:first=3"))
    async with fault_server(faults=faults) as (_, client):
        whole = (await client.post("/chat/completions", json=chat())).json()
        streamed = events((await client.post("/chat/completions", json=chat(stream=True))).text)
        empty = events((await client.post("/completions", json=completion(stream=True))).text)
    assert whole["choices"][0]["message"]["content"] is None
    assert [piece["choices"][0] for piece in streamed] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert empty == []


@pytest.mark.anyio
async def test_a_truncated_stream_ends_without_its_end_mark() -> None:
    """A truncated stream is a complete reply that stops in the middle of an event."""
    async with fault_server(faults=(parse_fault("truncated-json"),)) as (_, client):
        text = (await client.post("/completions", json=completion(stream=True))).text
    assert "[DONE]" not in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text.split("data: ")[-1])


@pytest.mark.anyio
async def test_a_server_with_an_unknown_fault_does_not_start() -> None:
    """The table is asked before the server listens."""
    with anyio.fail_after(5), pytest.raises(SettingsError):
        async with serve(FaultServerConfig(faults=(Fault(name="nonsense"),))):
            pass
