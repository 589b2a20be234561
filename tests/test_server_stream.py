"""Answers that are streamed: from real servers, and cut anywhere."""

import json
import threading
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.server.failures import CUT_OFF, AttemptFailed
from bootcamp_cli.server.response import StreamedAnswer
from bootcamp_cli.store.records import make_record
from bootcamp_cli.types import Answer, Sample, Verdict
from tests.raw_server import (
    EVENT_STREAM,
    client_of,
    closing,
    completion,
    failed,
    http,
    outcome,
    piece,
    resetting,
    serving,
    stalling,
    tried,
)

USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = Answer(text="ja", finish_reason="stop", usage={"completion_tokens": 2}, model="m")

pytestmark = pytest.mark.usefixtures("transport")


def chat(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """One event of a stream in chat mode."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"


def streamed(raw: bytes, api_mode: Any = "completion") -> Answer:
    """The answer of a whole stream."""
    stream = StreamedAnswer(api_mode)
    stream.feed(raw)
    return stream.answer()


def test_a_stream_becomes_an_answer() -> None:
    """Texts are joined, finish_reason, model and the usage of the last event are kept."""
    assert tried(closing(EVENT_STREAM + piece("j") + piece("a", "stop") + USAGE + DONE), stream=True) == WHOLE


def test_a_stream_is_asked_for_with_usage() -> None:
    """The request of a stream asks for the token counts."""

    async def scenario() -> None:
        async with serving(closing(EVENT_STREAM + piece("j", "stop") + DONE)) as server:
            async with client_of(server.url, stream=True) as client:
                await client.complete("p")
            body = json.loads(server.bodies[0])
            assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})

    anyio.run(scenario)


def test_a_streams_connection_is_used_again() -> None:
    """A stream that ends properly leaves its connection to the next request."""

    async def scenario() -> None:
        raw = piece("j", "stop") + DONE
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
        async with serving(head + raw) as server, client_of(server.url, stream=True) as client:
            assert isinstance(await outcome(client), Answer)
            assert isinstance(await outcome(client), Answer)
            assert server.n_connections == 1

    anyio.run(scenario)


def test_a_stalled_stream_is_an_idle_timeout() -> None:
    """A stream that falls silent before its end is retried as an idle timeout."""
    failure = failed(stalling(EVENT_STREAM + piece("j")), stream=True, idle_timeout_s=0.1)
    assert (failure.kind, failure.retryable) == ("idle_timeout", True)


def test_the_first_piece_may_take_as_long_as_the_deadline() -> None:
    """Silence before the first piece is the queue of the server, and limited by the deadline alone."""
    assert failed(stalling(EVENT_STREAM), stream=True, idle_timeout_s=0.01, timeout_s=0.2).kind == "timeout"


@pytest.mark.parametrize(
    "rest", [stalling(EVENT_STREAM + piece("ja", "stop")), resetting(EVENT_STREAM + piece("ja", "stop"))]
)
def test_a_complete_answer_survives_the_end_of_its_stream(rest: Any) -> None:
    """What happens after the finish_reason does not take the answer away."""
    answer = tried(rest, stream=True, idle_timeout_s=0.1)
    assert isinstance(answer, (Answer, AttemptFailed))
    if isinstance(answer, AttemptFailed):  # the reset overtook the bytes
        assert answer.kind == "connection"
    else:
        assert (answer.text, answer.finish_reason) == ("ja", "stop")


@pytest.mark.parametrize(
    "raw",
    [
        piece("j"),
        b"",
        piece("j") + b'data: {"choices": [{"te',
        piece("j") + b'data: {"error": {"message": "out of memory"}}\n\n',
        piece("j") + b'event: error\ndata: {"message": "out of memory"}\n\n',
        b"<html>please log in</html>",
        DONE,
        b"data: no json\n\n",
    ],
)
def test_a_stream_that_is_no_answer(raw: bytes) -> None:
    """A stream that ends early, reports an error or is none is a bad response."""
    failure = failed(closing(EVENT_STREAM + raw), stream=True)
    assert (failure.kind, failure.retryable) == ("bad_response", True)


def test_a_broken_connection_within_a_stream() -> None:
    """A stream whose chunked body breaks off is a connection failure."""
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n"
    assert failed(closing(raw), stream=True).kind == "connection"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
def test_a_server_that_does_not_stream(content_type: str) -> None:
    """A whole JSON reply to a request for a stream is an answer; media types ignore case."""
    answer = tried(http(200, completion("whole"), content_type=content_type), stream=True)
    assert isinstance(answer, Answer)
    assert answer.text == "whole"


def test_a_status_instead_of_a_stream() -> None:
    """A refused stream is a failure with the server's words."""
    assert failed(http(400, {"error": {"message": "too long"}}), stream=True).message == "HTTP 400: too long"


def test_a_stream_of_an_encoding_that_was_not_asked_for() -> None:
    """A compressed stream is a bad response."""
    head = EVENT_STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    assert "content encoding gzip" in failed(closing(head + piece("j", "stop")), stream=True).message


def test_a_large_piece_of_a_stream() -> None:
    """A whole long answer in one event, as gateways send it that only pretend to stream, is an answer."""
    answer = tried(closing(EVENT_STREAM + piece("x" * 500_000, "stop") + DONE), stream=True)
    assert isinstance(answer, Answer)
    assert len(answer.text) == 500_000


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_many_lines_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """A piece of thousands of empty lines does not hold up the event loop."""
    threads: set[int] = set()
    feed = StreamedAnswer.feed

    def noted(self: StreamedAnswer, chunk: bytes) -> None:
        if chunk.count(end) > 10_000:
            threads.add(threading.get_ident())
        feed(self, chunk)

    monkeypatch.setattr(StreamedAnswer, "feed", noted)
    answer = tried(closing(EVENT_STREAM + end * 500_000 + piece("ja", "stop") + USAGE + DONE), stream=True)
    assert answer == WHOLE
    assert threads
    assert threading.get_ident() not in threads


def test_empty_data_lines_count_as_pending() -> None:
    """Lines of an event without a character each are bytes that are held."""
    stream = StreamedAnswer("completion")
    stream.feed(b"data:\n" * 5000 + b"da")
    assert stream.n_pending_bytes == 5002
    stream.feed(b"ta:\n\n")
    assert stream.n_pending_bytes == 0


def test_reasoning_in_a_stream() -> None:
    """The reasoning of a chat stream is joined apart from the text."""
    raw = chat({"role": "assistant", "content": None, "reasoning_content": "hm"}) + chat({"reasoning": "m"})
    raw += chat({"content": "ja"}) + chat({}, "stop") + DONE
    assert streamed(raw, "chat_completion") == Answer(
        text="ja", reasoning="hmm", finish_reason="stop", model="m", n_pieces=3
    )


def test_surrogates_of_two_pieces_are_joined() -> None:
    """A character whose two halves came in two events is whole again, and a half alone is replaced."""
    raw = b"".join(b'data: {"choices": [{"text": "%s"}]}\n\n' % half for half in (rb"\ud83d", rb"\ude00", rb"\ud83d"))
    assert streamed(raw + DONE).text == "\U0001f600\ufffd"


@pytest.mark.parametrize(
    "raw",
    [
        (piece("ja", "stop", usage={"completion_tokens": 2}) + DONE).replace(b"\n", b"\r\n"),
        (piece("ja", "stop", usage={"completion_tokens": 2}) + DONE).replace(b"\n", b"\r"),
        b": ping\n\nid: 1\nretry: 5\n" + piece("ja", "stop", usage={"completion_tokens": 2}) + DONE,
        piece("ja", "stop").replace(b': "ja"', b":\ndata: " + b'"ja"') + USAGE,
        (piece("ja", "stop") + USAGE + DONE).replace(b"data: ", b"data:").rstrip(),
        piece("ja", "stop") + b'data: {"choices": [{"index": 1, "text": "nein"}]}\n\n' + USAGE,
        (piece("ja", "stop") + USAGE).replace(b'"choices": [{', b'"choices": [{"index": 1, "text": "nein"}, {'),
        b"\xef\xbb\xbf" + piece("j") + piece("a", "stop") + USAGE + DONE,
    ],
)
@given(data=st.data())
def test_bytes_may_be_cut_anywhere(raw: bytes, data: st.DataObject) -> None:
    """Whatever lines, line ends, other choices and a byte order mark there are: any split gives the whole answer."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    stream = StreamedAnswer("completion")
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        stream.feed(raw[start:end])
    assert stream.answer() == WHOLE


@given(raw=st.binary(max_size=200), events=st.lists(st.sampled_from([piece("a"), DONE, USAGE]), max_size=3))
def test_any_bytes_end_in_an_answer_or_a_bad_response(raw: bytes, events: list[bytes]) -> None:
    """Nothing in a stream raises anything but AttemptFailed."""
    try:
        streamed(b"".join(events) + b"data: " + raw)
    except AttemptFailed as failure:
        assert failure.kind == "bad_response"  # noqa: PT017 - an answer is right as well


def test_text_in_parts_of_a_stream() -> None:
    """Thinking parts are reasoning, and pieces of a refusal are the text where no other text comes."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]}
    raw = (
        chat({"content": [thought]})
        + chat({"content": [{"type": "text", "text": "4"}]})
        + chat({"content": "2"}, "stop")
    )
    answer = streamed(raw + USAGE + DONE, "chat_completion")
    assert (answer.text, answer.reasoning) == ("42", "I think")
    declined = streamed(chat({"refusal": "I "}) + chat({"refusal": "cannot."}, "stop") + DONE, "chat_completion")
    assert (declined.text, declined.n_pieces) == ("I cannot.", 2)


def test_a_stream_without_usage_counts_its_pieces() -> None:
    """Pieces with text or reasoning are about one per token; those with a role or an end alone are none."""
    raw = chat({"role": "assistant", "content": ""}) + chat({"reasoning_content": "a b c"}) + chat({"content": "d e"})
    answer = streamed(raw + chat({}, "stop") + DONE, "chat_completion")
    assert (answer.completion_tokens, answer.n_pieces) == (None, 2)
    sample = Sample(file="a.jsonl", row=0, id=0, data_source="Sums", prompt="p", ground_truth=None)
    record = make_record(sample, answer, Verdict(score=1.0), attempts=1, latency_s=0.1)
    assert (record.output_len, record.output_len_estimated) == (2, True)
    assert streamed(raw + chat({}, "stop") + USAGE + DONE, "chat_completion").n_pieces is None


@pytest.mark.parametrize("reason", sorted(CUT_OFF))
def test_a_stream_that_the_server_cut_off_is_no_answer(reason: str) -> None:
    """The finish_reason decides, also where [DONE] follows as if all were well."""
    failure = failed(closing(EVENT_STREAM + piece("half ") + piece("", reason) + USAGE + DONE), stream=True)
    assert (failure.kind, failure.retryable) == ("cut_off", True)


def test_a_stream_is_limited() -> None:
    """A stream that goes on for ever is left at the limit."""
    stream = StreamedAnswer("completion", max_bytes=100)
    with pytest.raises(AttemptFailed, match="more than 100 bytes"):
        stream.feed(b"x" * 101)
