"""The protocol of the demo server, and of the fault server where it does not fail: models, answers, refusals."""

import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from blockbuster import blockbuster_ctx

from bootcamp_cli.demo.config import DemoConfig, Fault, choose_fault, parse_fault
from bootcamp_cli.demo.instances import GENERATORS
from bootcamp_cli.demo.server import serve
from bootcamp_cli.errors import SettingsError
from tests.completions import chat, completion, demo_server, events, fault_server, first_prompt
from tests.fault_server.faults import Arrival, choose
from tests.fault_server.faults import parse_fault as parse_server_fault

pytestmark = pytest.mark.anyio

Served = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def client_of_fault_server(**config: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a fault server that has no faults."""
    async with fault_server(**config) as (_, client):
        yield client


@pytest.fixture(params=[demo_server, client_of_fault_server])
def served(request: pytest.FixtureRequest) -> Served:
    """Either server, as a context that gives a client of it."""
    chosen: Served = request.param
    return chosen


async def test_the_model_is_listed_with_its_context_length(served: Served) -> None:
    """GET /models names the model, and max_model_len where there is a limit."""
    async with served(max_model_len=512) as client:
        [listed] = (await client.get("/models")).json()["data"]
    assert (listed["id"], listed["object"], listed["max_model_len"]) == ("demo", "model", 512)
    async with served() as client:
        [listed] = (await client.get("/models")).json()["data"]
    assert "max_model_len" not in listed


async def test_chat_and_completion_give_the_same_answer(served: Served, demo_test_dir: Path) -> None:
    """A sample has one answer, whichever endpoint and template it is asked through."""
    prompt = first_prompt(demo_test_dir, "Sudoku")
    async with served(test_dir=demo_test_dir) as client:
        plain = (await client.post("/completions", json=completion(prompt))).json()
        r1 = f"<｜begin▁of▁sentence｜><｜User｜>{prompt}<｜Assistant｜><think>\n"
        wrapped = (await client.post("/completions", json=completion(r1))).json()
        talked = (await client.post("/chat/completions", json=chat(prompt))).json()
    text = plain["choices"][0]["text"]
    assert talked["choices"][0]["message"]["content"] == text
    assert "<think>\n" + wrapped["choices"][0]["text"] == text
    assert plain["usage"]["completion_tokens"] == talked["usage"]["completion_tokens"] > 0


async def test_both_servers_give_the_same_answers(demo_test_dir: Path) -> None:
    """The demo server and the fault server answer every prompt with the same text, tokens and finish_reason."""
    prompts = [first_prompt(demo_test_dir, data_source) for data_source in GENERATORS]
    async with demo_server(test_dir=demo_test_dir) as client, client_of_fault_server(test_dir=demo_test_dir) as other:
        for prompt in [*prompts, "what nobody knows"]:
            replies = [(await to.post("/completions", json=completion(prompt))).json() for to in (client, other)]
            assert replies[0] | {"created": 0} == replies[1] | {"created": 0}


@pytest.mark.parametrize("latency_s", [0, 0.02])
async def test_a_stream_adds_up_to_the_reply(served: Served, demo_test_dir: Path, latency_s: float) -> None:
    """The pieces of a stream, joined, are text, finish_reason and usage of the reply at once."""
    prompt = first_prompt(demo_test_dir, "Maze")
    async with served(test_dir=demo_test_dir, latency_s=latency_s) as client:
        whole = (await client.post("/chat/completions", json=chat(prompt))).json()
        asked = chat(prompt, stream=True, stream_options={"include_usage": True})
        streamed = await client.post("/chat/completions", json=asked)
    assert streamed.headers["content-type"] == "text/event-stream"
    *pieces, usage = events(streamed.text)
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])


async def test_a_completion_stream_has_no_usage_unasked(served: Served) -> None:
    """Without include_usage a stream carries no usage."""
    async with served() as client:
        pieces = events((await client.post("/completions", json=completion(stream=True))).text)
        whole = (await client.post("/completions", json=completion())).json()
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == whole["choices"][0]["text"]
    assert all("usage" not in piece for piece in pieces)


async def test_a_reply_takes_the_latency(served: Served) -> None:
    """A reply takes as long whole as streamed: the latency of its prompt, which a stream spreads over its pieces."""
    async with served(latency_s=0.1) as client:
        for stream in (False, True):
            begin = anyio.current_time()
            await client.post("/completions", json=completion(stream=stream))
            assert anyio.current_time() - begin > 0.05


async def test_max_tokens_cuts_the_answer(served: Served) -> None:
    """An answer is no longer than max_tokens, and then says so; completions without a limit get 16 tokens."""
    async with served(seed=1) as client:
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
async def test_wrong_requests_are_refused_with_an_error_body(served: Served, status: int, path: str, body: Any) -> None:
    """A refused request gets its status and a message in `error`, and the connection stays usable."""
    connections = set()
    async with served(max_model_len=8192) as client:
        for _ in range(2):
            async with client.stream("POST", path, json=body) as reply:
                connections.add(reply.extensions["network_stream"].get_extra_info("client_addr"))
                await reply.aread()
            assert reply.status_code == status
            assert reply.json()["error"]["message"]
    assert len(connections) == 1


async def test_a_prompt_beyond_the_context_length_is_told_as_by_vllm(served: Served) -> None:
    """The refusal names the context length, as servers do whose message the tool reads."""
    async with served(max_model_len=100) as client:
        reply = await client.post("/completions", json=completion("x" * 400, max_tokens=10))
    assert reply.status_code == 400
    assert "maximum context length is 100 tokens" in reply.json()["error"]["message"]


async def test_what_is_no_http_gets_400(served: Served) -> None:
    """Bytes that are no HTTP are answered with 400 and the connection is closed."""
    async with served() as client, await anyio.connect_tcp("127.0.0.1", client.base_url.port or 0) as stream:
        await stream.send(b"no http at all\r\n\r\n")
        with anyio.fail_after(10):
            reply = b"".join([chunk async for chunk in stream])
    assert reply.partition(b" ")[2].startswith(b"400 ")


async def test_the_key_is_required_where_there_is_one(served: Served) -> None:
    """With an API key, requests without it get 401 on every path of the interface."""
    async with served(api_key="secret") as client:
        paths = ("/models", "/embeddings")
        refused = [(await client.get(path)).status_code for path in paths]
        refused.append((await client.post("/completions")).status_code)
        allowed = await client.get("/models", headers={"Authorization": "Bearer secret"})
    assert refused == [401, 401, 401]
    assert allowed.status_code == 200
    assert "secret" not in repr(DemoConfig(api_key="secret"))


async def test_a_client_that_goes_away_is_not_waited_for(served: Served) -> None:
    """A server ends at once although a request is in flight, of a client that has gone or waits."""
    with anyio.fail_after(5):
        async with served(latency_s=3600) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(_failing_post, client)
            with anyio.move_on_after(0.2):
                await client.post("/completions", json=completion())
            tasks.cancel_scope.cancel()


async def _failing_post(client: httpx.AsyncClient) -> None:
    await client.post("/completions", json=completion("another"))


async def test_nothing_blocks_the_event_loop(served: Served, demo_test_dir: Path) -> None:
    """Loading samples and solving puzzles make no blocking call on the event loop."""
    prompt = first_prompt(demo_test_dir, "Sudoku")
    with blockbuster_ctx():
        async with served(test_dir=demo_test_dir) as client:
            assert (await client.post("/completions", json=completion(prompt))).status_code == 200


async def test_faults_answer_with_their_status() -> None:
    """A fault is an error body with its status and the time to wait; the list of models is spared."""
    faults = (parse_fault("429:0.4:retry-after=0.5"), parse_fault("500:0.4"))
    async with demo_server(faults=faults) as client:
        replies = [await client.post("/completions", json=completion()) for _ in range(40)]
        assert (await client.get("/models")).status_code == 200
    by_status = {reply.status_code: reply for reply in replies}
    assert set(by_status) == {200, 429, 500}
    assert by_status[429].headers["retry-after"] == "0.5"
    assert "retry-after" not in by_status[500].headers
    assert all(by_status[status].json()["error"]["code"] == status for status in (429, 500))


async def test_the_same_attempts_fail_on_both_servers() -> None:
    """The draw for an attempt at a prompt is the fault server's: seeded, and by nothing but prompt and attempt."""
    specs = ("429:0.1:retry-after=0.1", "500:0.2")
    ours, theirs = [parse_fault(spec) for spec in specs], [parse_server_fault(spec) for spec in specs]
    drawn: Counter[str] = Counter()
    for prompt in map(str, range(2000)):
        for n_attempts in range(2):
            fault = choose_fault(ours, prompt, n_attempts, seed=3)
            arrival = Arrival(on="completions", n_earlier=9, n_attempts=n_attempts, prompt=prompt)
            other = choose(theirs, arrival, seed=3)
            assert (fault and str(fault.status)) == (other and other.name)
            drawn[str(fault.status) if fault else "none"] += 1
    assert abs(drawn["429"] / 4000 - 0.1) < 0.02
    assert abs(drawn["500"] / 4000 - 0.2) < 0.02


async def test_the_notation_of_faults() -> None:
    """A fault is a status, a probability and a time to wait, of which the status alone is required."""
    assert parse_fault("500") == Fault(status=500)
    assert parse_fault("429:0.02:retry-after=0.1") == Fault(status=429, probability=0.02, retry_after_s=0.1)
    assert parse_fault("500:retry-after=3") == Fault(status=500, retry_after_s=3)


@pytest.mark.parametrize(
    "spec", ["", "503", "drop", "500:2", "500:-0.1", "500:nan", "500:x", "500:0.1:first=3", "429:retry-after=1e400"]
)
async def test_wrong_notation_is_refused(spec: str) -> None:
    """What is no fault of this server is a settings error that quotes it."""
    with pytest.raises(SettingsError, match="fault: ") as refused:
        parse_fault(spec)
    assert repr(spec) in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"port": -1},
        {"latency_s": -1},
        {"latency_s": float("nan")},
        {"n_tokens": 0},
        {"api_key": "a b"},
        {"max_model_len": 0},
    ],
)
async def test_a_server_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Ports, latencies and lengths out of range, and keys that no header takes, are settings errors."""
    with pytest.raises(SettingsError):
        DemoConfig(**wrong)


async def test_a_taken_port_and_a_missing_test_dir_are_settings_errors(tmp_path: Path) -> None:
    """A port that another server has, and a test dir that is not there, are told with their name."""
    async with serve(DemoConfig()) as url:
        with pytest.raises(SettingsError, match=r"^port: "):
            async with serve(DemoConfig(port=urlsplit(url).port or 0)):
                pass
    with pytest.raises(SettingsError, match=r"^test_dir: "):
        async with serve(DemoConfig(test_dir=tmp_path / "missing")):
            pass


async def test_a_port_is_free_again_at_once() -> None:
    """A server can take the port of one that has just ended with a connection open."""
    async with demo_server() as client:
        assert (await client.get("/models")).status_code == 200
        port = client.base_url.port
    async with serve(DemoConfig(port=port or 0)) as url:
        assert urlsplit(url).port == port


async def test_it_listens_on_loopback_alone() -> None:
    """No other address of this machine is listened on."""
    async with serve(DemoConfig()) as url:
        assert urlsplit(url).hostname == "127.0.0.1"
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", urlsplit(url).port))
