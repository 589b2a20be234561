"""What a server tells about itself: each form is read, and nothing that it does harms the run or the manifest."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.server import provenance
from bootcamp_cli.server.endpoint import endpoint
from bootcamp_cli.server.provenance import Fingerprints, asking_server, server_info, with_server
from bootcamp_cli.server.response import StreamedAnswer, parse_reply
from bootcamp_cli.server.transport import TransportName
from bootcamp_cli.types import ServerInfo
from tests.raw_server import (
    KEY,
    Reply,
    client_of,
    closing,
    completion,
    http,
    path_of,
    piece,
    resetting,
    serving_paths,
    stalling,
)

TEMPLATE = "{% for message in messages %}é{{ message.content }}{% endfor %}"
DIGEST = hashlib.sha256(TEMPLATE.encode()).hexdigest()

VLLM: dict[str, Reply] = {"/version": http(200, {"version": "0.11.0"})}
VLLM_WITH_TOKENIZER = VLLM | {
    "/tokenizer_info": http(200, {"tokenizer_class": "Qwen2Tokenizer", "chat_template": TEMPLATE})
}
LLAMA_CPP: dict[str, Reply] = {
    "/props": http(200, {"build_info": "b6123-1d72c841", "chat_template": TEMPLATE, "model_path": "/m.gguf"})
}
SGLANG: dict[str, Reply] = {
    "/server_info": http(
        200, {"version": "0.5.4", "api_key": "theirs", "admin_api_key": "s", "chat_template": "chatml"}
    )
}
OLD_SGLANG: dict[str, Reply] = {"/get_server_info": http(200, {"version": "0.4.1", "internal_states": [{}]})}


def told(
    replies: dict[str, Reply], *, chat: bool = True, asked: list[str] | None = None, **options: Any
) -> ServerInfo | None:
    """What a server with these paths tells; `asked` gets the paths that it was asked for."""

    async def scenario() -> ServerInfo | None:
        async with serving_paths(replies) as server, client_of(server.url, **options) as client:
            info = await server_info(client, chat=chat)
            (asked if asked is not None else []).extend(path_of(head) for head in server.heads)
        return info

    return anyio.run(scenario)


@pytest.mark.parametrize(
    ("replies", "in_chat"),
    [
        (VLLM, ServerInfo(version="0.11.0", told_at="/version")),
        (VLLM_WITH_TOKENIZER, ServerInfo(version="0.11.0", told_at="/version", template_digest=DIGEST)),
        (LLAMA_CPP, ServerInfo(version="b6123-1d72c841", told_at="/props", template_digest=DIGEST)),
        (SGLANG, ServerInfo(version="0.5.4", told_at="/server_info")),
        (OLD_SGLANG, ServerInfo(version="0.4.1", told_at="/get_server_info")),
        ({}, None),
    ],
)
def test_each_kind_of_server(replies: dict[str, Reply], in_chat: ServerInfo | None, transport: TransportName) -> None:
    """Version and template are found where vLLM, llama.cpp and SGLang have them; nothing else of theirs is kept."""
    assert told(replies) == in_chat
    in_completion = in_chat and ServerInfo(version=in_chat.version, told_at=in_chat.told_at)
    assert told(replies, chat=False) == in_completion


def test_no_more_is_asked_than_needed() -> None:
    """What is known is not asked for again, and the template is asked for in chat mode only."""
    asked: list[str] = []
    told(VLLM, chat=False, asked=asked)
    assert asked == ["/version"]
    asked.clear()
    told(LLAMA_CPP, asked=asked)
    assert asked == ["/version", "/props"]
    asked.clear()
    told(VLLM, asked=asked)
    assert asked == ["/version", "/props", "/tokenizer_info"]


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://h/v1", "http://h/version"),
        ("http://h/v1/", "http://h/version"),
        ("https://h:8/api/v1", "https://h:8/api/version"),
        ("http://h/v1beta2", "http://h/version"),
        ("http://h/openai", "http://h/openai/version"),
        ("http://h", "http://h/version"),
        ("http://v1", "http://v1/version"),
        ("http://h/team/v1?team=abcdefg", "http://h/team/version?team=abcdefg"),
    ],
)
def test_beside_the_api(base_url: str, address: str) -> None:
    """The paths are those beside the API's version, never above what was given, with the query of the given URL."""
    assert endpoint(base_url).url_beside("/version") == address


@pytest.mark.parametrize(
    "reply",
    [
        http(404, {}),
        http(401, {"error": KEY}),
        http(500, "<html>"),
        http(302, "", location="http://elsewhere.invalid/"),
        http(200, "<html>a page for people</html>"),
        http(200, "0.11.0"),
        http(200, '["0.11.0"]'),
        http(200, b"\xff\xfe"),
        http(200, '{"version": ' + "[" * 5000),
        http(200, {}),
        http(200, {"version": None}),
        http(200, {"version": True}),
        http(200, {"version": ""}),
        http(200, {"version": {"name": "0.11.0"}}),
        http(200, {"version": ["0.11.0"]}),
        http(200, {"version": "x"}, content_encoding="gzip"),
        closing(b""),
        closing(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{"),
        resetting(),
    ],
)
def test_a_server_that_tells_nothing(reply: Reply, transport: TransportName) -> None:
    """A missing path, an error, a page, another type or a lost connection is no version; the next path is asked."""
    assert told({"/version": reply, **SGLANG}) == ServerInfo(version="0.5.4", told_at="/server_info")
    assert (
        told(dict.fromkeys(("/version", "/props", "/server_info", "/get_server_info", "/tokenizer_info"), reply))
        is None
    )


def test_a_path_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that never answers costs its own short time; the next one is asked."""
    monkeypatch.setattr(provenance, "_TIMEOUT_OF_ONE_S", 1)
    assert told({"/version": stalling(), **SGLANG}) == ServerInfo(version="0.5.4", told_at="/server_info")


def test_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch, transport: TransportName) -> None:
    """Paths that never answer, or stop in the middle, cost no more than the time for all of them together."""
    monkeypatch.setattr(provenance, "_TIMEOUT_OF_ONE_S", 0.05)
    hanging: dict[str, Reply] = {"/version": stalling(http(200, {"version": "1"})[:-3]), "/props": stalling()}
    assert told(hanging) is None
    monkeypatch.setattr(provenance, "_TIMEOUT_OF_ONE_S", 60)
    monkeypatch.setattr(provenance, "_TIMEOUT_S", 0.05)
    assert told({"/version": stalling(), **SGLANG}) is None


def test_a_huge_version(transport: TransportName) -> None:
    """A reply of 10 MB is no version, whether or not it fits into what a reply may have; a long text is cut."""
    huge = http(200, {"version": "9" * 10_000_000})
    assert told({"/version": huge}) is None
    assert told({"/version": huge}, max_body_bytes=20_000_000) is None
    info = told({"/version": http(200, {"version": "9" * 1_000_000})}, max_body_bytes=20_000_000)
    assert info is not None
    assert info.version == "9" * 199 + "…"


def test_secrets_and_control_characters() -> None:
    """A key in the version is masked, also where the cut would go through it; what is kept is one printable line."""
    version = f"1.0 ({KEY})\x1b[2J\n\u202eto\ud800"
    info = told({"/version": http(200, {"version": version})})
    assert info is not None
    assert info.version == "1.0 (***)\\x1b[2J \\u202eto\ufffd"
    for n in range(150, 210):
        info = told_version("x" * n + KEY)
        assert info.version is not None
        assert KEY[:4] not in info.version


def told_version(version: str) -> ServerInfo:
    """What is kept of a version, by a client with the marked key."""
    info = told({"/version": http(200, {"version": version})}, chat=False)
    assert info is not None
    return info


@pytest.mark.parametrize(("version", "kept"), [(3, "3"), (1.5, "1.5"), (10**400, "1" + "0" * 198 + "…")])
def test_a_number_is_a_version(version: float, kept: str) -> None:
    """A version that is sent as a number is kept as its text."""
    assert told({"/version": http(200, {"version": version})}) == ServerInfo(version=kept, told_at="/version")


@pytest.mark.parametrize("template", [None, "", 5, [{"name": "default", "template": TEMPLATE}], {"a": TEMPLATE}])
def test_a_template_that_is_no_text(template: Any) -> None:
    """Only the text of a template has a digest."""
    props = http(200, {"build_info": "b1", "chat_template": template})
    assert told({"/props": props}) == ServerInfo(version="b1", told_at="/props")


def test_a_template_with_a_lone_surrogate() -> None:
    """A template that UTF-8 cannot hold has a digest all the same."""
    info = told({"/props": http(200, '{"chat_template": "\\ud800"}')})
    assert info == ServerInfo(template_digest=hashlib.sha256("\ufffd".encode()).hexdigest())


def asked_during(
    replies: dict[str, Reply], work: Callable[[list[ServerInfo]], Any], *, is_error: type[Exception] | None = None
) -> list[ServerInfo]:
    """What is learned while `work` runs."""
    learned: list[ServerInfo] = []

    async def scenario() -> None:
        async with (
            serving_paths(replies) as server,
            client_of(server.url) as client,
            asking_server(client, chat=False, learned=learned.append),
        ):
            await work(learned)

    if is_error is None:
        anyio.run(scenario)
    else:
        with pytest.raises(is_error):
            anyio.run(scenario)
    return learned


async def nothing(_: list[ServerInfo]) -> None:
    """Work that is done at once."""


async def failing(_: list[ServerInfo]) -> None:
    """Work that ends by an exception."""
    raise KeyError("x")


async def until_learned(learned: list[ServerInfo]) -> None:
    """Work that goes on until something is learned."""
    while not learned:  # noqa: ASYNC110 - what is waited for sets no event
        await anyio.sleep(0.001)


def test_the_server_is_asked_while_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server tells arrives during the work, or just after work that is done sooner."""
    monkeypatch.setattr(provenance, "_GRACE_S", 60)
    version = ServerInfo(version="0.11.0", told_at="/version")
    assert asked_during(VLLM, until_learned) == [version]
    assert asked_during(VLLM, nothing) == [version]


def test_a_hanging_server_delays_the_end_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server is still silent when the work is done, its answer is given up; nothing is learned."""
    monkeypatch.setattr(provenance, "_GRACE_S", 0.01)
    assert asked_during({"/version": stalling()}, nothing) == []


def test_errors_of_the_work_pass_through() -> None:
    """An exception of the work is raised as it is, without waiting for the server."""
    assert asked_during({"/version": stalling()}, failing, is_error=KeyError) == []


def test_each_server_is_kept_once() -> None:
    """A run knows each server that it met once, in order, the first 8."""
    one, two = ServerInfo(version="1"), ServerInfo(version="2")
    assert with_server((), None) == ()
    assert with_server((), one) == (one,)
    assert with_server((one, two), one) == (one, two)
    assert with_server((one,), two) == (one, two)
    many = tuple(ServerInfo(version=str(n)) for n in range(8))
    assert with_server(many, ServerInfo(version="another")) == many


@given(st.lists(st.lists(st.sampled_from([None, "", *(f"fp{n}" for n in range(12))]), max_size=60), max_size=3))
def test_fingerprints_of_all_sessions(sessions: list[list[str | None]]) -> None:
    """Over all sessions each of the first 8 fingerprints is counted; replies without one are not."""
    known: dict[str, int] = {}
    for session in sessions:
        fingerprints = Fingerprints()
        for fingerprint in session:
            fingerprints.add(fingerprint)
        known = fingerprints.onto(known)
    seen = [fingerprint for session in sessions for fingerprint in session if fingerprint]
    assert len(known) <= 8
    assert set(known) <= set(seen)
    if len(set(seen)) <= 8:
        assert known == {fingerprint: seen.count(fingerprint) for fingerprint in seen}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("fp_44709d6fcb", "fp_44709d6fcb"),
        ("f" * 200, "f" * 200),
        ("f" * 201, None),
        ("fp\ud800", "fp\ufffd"),
        ("", None),
        (None, None),
        (5, None),
        (["fp"], None),
    ],
)
def test_the_fingerprint_of_a_reply(sent: Any, kept: str | None) -> None:
    """A text of at most 200 characters is a reply's fingerprint, whole or streamed; anything else is none."""
    body = json.dumps(completion(system_fingerprint=sent)).encode()
    assert parse_reply(body, "completion").system_fingerprint == kept
    stream = StreamedAnswer("completion")
    stream.feed(piece("ja", system_fingerprint=sent) + piece("", "stop") + b"data: [DONE]\n\n")
    assert stream.answer().system_fingerprint == kept
