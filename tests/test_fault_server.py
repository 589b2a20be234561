"""What the fault server has beside the protocol of the demo server: its counts, models, thoughts, rows and limits."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.demo.model import digest, read_samples
from bootcamp_cli.errors import SettingsError
from tests.completions import chat, completion, events, fault_server, first_prompt
from tests.fault_server.config import FaultServerConfig
from tests.fault_server.faults import parse_fault
from tests.fault_server.rows import Rows

pytestmark = pytest.mark.anyio


async def test_every_model_is_listed() -> None:
    """GET /models names every served model, each with the context length, and each of them answers."""
    async with fault_server(models=("a", "b"), max_model_len=512) as (_, client):
        listed = (await client.get("/models")).json()["data"]
        replies = [await client.post("/completions", json={"model": name, "prompt": "hello"}) for name in ("a", "b")]
    assert [(entry["id"], entry["max_model_len"]) for entry in listed] == [("a", 512), ("b", 512)]
    assert [reply.json()["model"] for reply in replies] == ["a", "b"]


@pytest.mark.parametrize("latency_s", [0, 0.02])
async def test_thoughts_can_have_a_key_of_their_own(demo_test_dir: Path, latency_s: float) -> None:
    """With a reasoning parser, chats have thoughts and answer apart, whole and as the pieces of a stream joined."""
    prompt = first_prompt(demo_test_dir, "Maze")
    async with fault_server(test_dir=demo_test_dir, reasoning_parser=True, latency_s=latency_s) as (_, client):
        whole = (await client.post("/chat/completions", json=chat(prompt))).json()
        text = (await client.post("/completions", json=completion(prompt))).json()["choices"][0]["text"]
        asked = chat(prompt, stream=True, stream_options={"include_usage": True})
        *pieces, usage = events((await client.post("/chat/completions", json=asked)).text)
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    message = whole["choices"][0]["message"]
    thoughts, _, answer = text.removeprefix("<think>\n").partition("</think>")
    assert (message["reasoning_content"], message["content"]) == (thoughts, answer.lstrip())
    assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message["reasoning_content"]
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])


async def test_a_sample_counts_once_in_every_template(demo_test_dir: Path) -> None:
    """The same sample, asked for bare, in a template and as a chat, is one distinct prompt."""
    prompt = first_prompt(demo_test_dir, "Sudoku")
    async with fault_server(test_dir=demo_test_dir) as (server, client):
        await client.post("/completions", json=completion(prompt))
        await client.post("/completions", json=completion(f"<｜User｜>{prompt}<｜Assistant｜><think>\n"))
        await client.post("/chat/completions", json=chat(prompt))
        assert server.traffic.as_json()["distinct_prompts"] == 1


async def test_the_counts_tell_requests_from_answers() -> None:
    """A request that failed is counted as received and not as answered, by path, status and fault; the log has both."""
    faults = (parse_fault("500:attempts=1"),)
    async with fault_server(faults=faults, log_requests=True) as (server, client):
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


async def test_refused_requests_are_no_answers() -> None:
    """Refusals are not counted as answers, and one connection serves all of them."""
    async with fault_server(max_model_len=8192) as (server, client):
        for path, body in (("/completions", {"model": "demo"}), ("/embeddings", {}), ("/models", {})):
            await client.post(path, json=body)
        assert server.traffic.max_connections == 1
        assert server.traffic.answered.total() == 0


async def test_a_client_that_goes_away_frees_its_place() -> None:
    """A request whose client disconnects is no longer in flight and never answered."""
    async with fault_server(latency_s=3600, latency_shape="fixed") as (server, client):
        with anyio.move_on_after(0.2):
            await client.post("/completions", json=completion())
        with anyio.fail_after(5):
            while server.traffic.in_flight or not server.traffic.statuses:  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.01)
        assert server.traffic.max_in_flight == 1
        assert dict(server.traffic.statuses) == {"cut": 1}
        assert not server.traffic.answered


async def test_latencies_may_be_all_alike() -> None:
    """With the fixed shape every prompt takes the latency that was asked for."""
    async with fault_server(latency_s=0.5, latency_shape="fixed") as (server, _):
        assert [server.latency_s(prompt) for prompt in ("one", "another")] == [0.5, 0.5]


@pytest.mark.parametrize(
    "wrong",
    [{"host": "0.0.0.0"}, {"host": "example.com"}, {"port": 70000}, {"latency_s": -1}, {"skills": {"*": 2}}],  # noqa: S104
)
async def test_a_server_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Hosts beyond loopback, ports, latencies and skills out of range are settings errors."""
    with pytest.raises(SettingsError):
        FaultServerConfig(**wrong)


async def test_the_key_is_in_no_representation() -> None:
    """The key of a server does not show in its configuration."""
    assert "secret" not in repr(FaultServerConfig(api_key="secret"))


def test_rows_that_share_a_prompt_are_answered_one_after_the_other(tmp_path: Path) -> None:
    """The k-th request for a prompt gets the ground truth of its k-th row where these differ, else the only one."""
    asked = [("How many steps?", steps) for steps in (3, 4, 3)] + [("One way only?", 2)] * 2
    lines = [
        {"data_source": "KorPuzzleWordLadder", "prompt": prompt, "ground_truth": {"correct_steps": steps}}
        for prompt, steps in asked
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rows = Rows(read_samples(tmp_path))
    (shared, first), (same, _) = rows.find("How many steps?"), rows.find("One way only?")
    drawn = [rows.row(shared, n) for n in range(4)]
    assert [sample.truth()["correct_steps"] for sample in drawn if sample] == [3, 4, 3, 3]
    assert drawn[0] == first
    assert rows.row(same, 0) == rows.row(same, 1) == rows.find("One way only?")[1]
    assert [rows.number(shared), rows.number(same), rows.number(digest("?"))] == [0, 1, None]
    assert rows.row(digest("?"), 0) is None
