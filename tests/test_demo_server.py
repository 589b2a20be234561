"""The demo server's protocol: models, completions, chats, streams, refusals, counts."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from blockbuster import blockbuster_ctx

from bootcamp_cli.demo.config import DemoConfig
from bootcamp_cli.demo.faults import parse_fault
from bootcamp_cli.demo.server import DemoServer, serve
from bootcamp_cli.errors import SettingsError

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def served(**config: Any) -> AsyncIterator[tuple[DemoServer, httpx.AsyncClient]]:
    """A server in this process and a client of it."""
    async with (
        serve(DemoConfig(**config)) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as client,
    ):
        yield server, client


def completion(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """The body of a completion request."""
    return {"model": "demo", "prompt": prompt, "max_tokens": 4096, **more}


def chat(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    messages = [{"role": "system", "content": "be right"}, {"role": "user", "content": prompt}]
    return {"model": "demo", "messages": messages, **more}


def first_prompt(test_dir: Path, data_source: str) -> str:
    """The first prompt of a generated test file."""
    with (test_dir / f"{data_source.lower()}.jsonl").open(encoding="utf-8") as lines:
        return str(json.loads(next(lines))["prompt"])


def events(text: str) -> list[dict[str, Any]]:
    """The data of a stream's events, which must end with the end mark."""
    *data, end = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert end == "[DONE]"
    return [json.loads(event) for event in data]


async def test_models_are_listed_with_their_context_length() -> None:
    """GET /models names every served model, and max_model_len where there is a limit."""
    async with served(models=("a", "b"), max_model_len=512) as (_, client):
        listed = (await client.get("/models")).json()["data"]
    assert [(entry["id"], entry["max_model_len"]) for entry in listed] == [("a", 512), ("b", 512)]


async def test_chat_and_completion_give_the_same_answer(demo_test_dir: Path) -> None:
    """A sample has one answer, whichever endpoint and template it is asked through."""
    prompt = first_prompt(demo_test_dir, "Sudoku")
    async with served(test_dir=demo_test_dir) as (server, client):
        plain = (await client.post("/completions", json=completion(prompt))).json()
        r1 = f"<｜begin▁of▁sentence｜><｜User｜>{prompt}<｜Assistant｜><think>\n"
        wrapped = (await client.post("/completions", json=completion(r1))).json()
        talked = (await client.post("/chat/completions", json=chat(prompt))).json()
        assert server.traffic.as_json()["distinct_prompts"] == 1
    text = plain["choices"][0]["text"]
    assert talked["choices"][0]["message"]["content"] == text
    assert "<think>\n" + wrapped["choices"][0]["text"] == text
    assert plain["usage"]["completion_tokens"] == talked["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("reasoning_parser", [False, True])
@pytest.mark.parametrize("latency_s", [0, 0.02])
async def test_a_stream_adds_up_to_the_reply(demo_test_dir: Path, latency_s: float, *, reasoning_parser: bool) -> None:
    """The pieces of a stream, joined, are text, reasoning, finish_reason and usage of the reply at once."""
    prompt = first_prompt(demo_test_dir, "Maze")
    config = {"test_dir": demo_test_dir, "reasoning_parser": reasoning_parser, "latency_s": latency_s}
    async with served(**config) as (_, client):
        whole = (await client.post("/chat/completions", json=chat(prompt))).json()
        asked = chat(prompt, stream=True, stream_options={"include_usage": True})
        *pieces, usage = events((await client.post("/chat/completions", json=asked)).text)
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    message = whole["choices"][0]["message"]
    assert "".join(delta.get("content", "") for delta in deltas) == (message["content"] or "")
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message.get("reasoning_content", "")
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])


async def test_a_completion_stream_has_no_usage_unasked() -> None:
    """Without include_usage a stream carries no usage."""
    async with served() as (_, client):
        pieces = events((await client.post("/completions", json=completion(stream=True))).text)
        whole = (await client.post("/completions", json=completion())).json()
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == whole["choices"][0]["text"]
    assert all("usage" not in piece for piece in pieces)


async def test_max_tokens_cuts_the_answer() -> None:
    """An answer is no longer than max_tokens, and then says so; completions without a limit get 16 tokens."""
    async with served(skills={"*": 1.0}) as (_, client):
        whole = (await client.post("/completions", json=completion())).json()
        cut = (await client.post("/completions", json=completion(max_tokens=5))).json()
        unlimited = (await client.post("/completions", json={"model": "demo", "prompt": "hello"})).json()
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 5)
    assert whole["choices"][0]["text"].startswith(cut["choices"][0]["text"])
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert unlimited["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("status", "path", "body"),
    [
        (400, "/completions", {"model": "demo"}),
        (400, "/completions", completion(max_tokens=-1)),
        (400, "/completions", [1]),
        (400, "/chat/completions", chat() | {"messages": [{"role": "system", "content": "?"}]}),
        (400, "/completions", completion(max_tokens=8192)),
        (404, "/completions", completion() | {"model": "other"}),
        (404, "/embeddings", {}),
        (405, "/models", {}),
    ],
)
async def test_wrong_requests_are_refused_with_an_error_body(status: int, path: str, body: Any) -> None:
    """A refused request gets its status and a message in `error`, and the connection stays usable."""
    async with served(max_model_len=8192) as (server, client):
        for _ in range(2):
            reply = await client.post(path, json=body)
            assert reply.status_code == status
            assert reply.json()["error"]["message"]
        assert server.traffic.max_connections == 1
        assert server.traffic.answered.total() == 0


async def test_what_is_no_http_gets_400() -> None:
    """Bytes that are no HTTP are answered with 400 and the connection is closed."""
    async with serve(DemoConfig()) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(b"no http at all\r\n\r\n")
        reply = b"".join([chunk async for chunk in stream])
    assert reply.startswith(b"HTTP/1.1 400 ")


async def test_the_key_is_required_where_there_is_one() -> None:
    """With an API key, requests without it get 401 on every path of the interface."""
    async with served(api_key="secret") as (_, client):
        refused = [(await client.get("/models")).status_code, (await client.post("/completions")).status_code]
        allowed = await client.get("/models", headers={"Authorization": "Bearer secret"})
    assert refused == [401, 401]
    assert allowed.status_code == 200
    assert "secret" not in repr(DemoConfig(api_key="secret"))


async def test_the_counts_tell_requests_from_answers() -> None:
    """A request that failed is counted as received and not as answered, by path, status and fault; the log has both."""
    faults = (parse_fault("500:attempts=1"),)
    async with served(faults=faults, log_requests=True) as (server, client):
        statuses = [(await client.post("/completions", json=completion())).status_code for _ in range(3)]
        await client.get("/models")
        counts = (await client.get(server.url.removesuffix("/v1") + "/stats")).json()
    assert statuses == [500, 200, 200]
    assert (counts["requests"], counts["received"], counts["answered"]) == (4, 3, 2)
    assert counts["by_path"] == {"/v1/completions": 3, "/v1/models": 1}
    assert counts["by_status"] == {"500": 1, "200": 3}
    assert counts["by_fault"] == {"500": 1}
    assert (counts["max_received"], counts["max_answered"], counts["distinct_prompts"]) == (3, 2, 1)
    assert [entry["status"] for entry in counts["log"]] == statuses
    assert all(entry["start"] <= entry["end"] for entry in counts["log"])


async def test_a_client_that_goes_away_frees_its_place() -> None:
    """A request whose client disconnects is no longer in flight and never answered."""
    async with served(latency_s=3600, latency_shape="fixed") as (server, client):
        with anyio.move_on_after(0.2):
            await client.post("/completions", json=completion())
        with anyio.fail_after(5):
            while server.traffic.in_flight or not server.traffic.statuses:  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.01)
        assert server.traffic.max_in_flight == 1
        assert dict(server.traffic.statuses) == {"cut": 1}
        assert not server.traffic.answered


async def test_nothing_blocks_the_event_loop(demo_test_dir: Path) -> None:
    """Loading samples and solving puzzles make no blocking call on the event loop."""
    prompt = first_prompt(demo_test_dir, "Sudoku")
    with blockbuster_ctx():
        async with served(test_dir=demo_test_dir) as (_, client):
            assert (await client.post("/completions", json=completion(prompt))).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"host": "0.0.0.0"}, {"host": "example.com"}, {"port": 70000}, {"latency_s": -1}, {"skills": {"*": 2}}],  # noqa: S104
)
async def test_a_server_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Hosts beyond loopback, ports, latencies and skills out of range are settings errors."""
    with pytest.raises(SettingsError):
        DemoConfig(**wrong)
