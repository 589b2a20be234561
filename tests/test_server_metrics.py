"""The load of servers: each form is read, nothing that a server does harms the run, and the page shows it."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli import open_run
from bootcamp_cli.analysis.loads import load_notes
from bootcamp_cli.engine.server_metrics import watch_metrics
from bootcamp_cli.errors import LockLostError
from bootcamp_cli.server.client import CompletionClient
from bootcamp_cli.server.metrics import ServerFigures, parse_metrics, server_figures
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.store.server_metrics import Load, LoadLog, merge_loads, read_loads
from tests.conftest import RunBootcamp, StartFaultServer
from tests.html_pages import Page
from tests.raw_server import KEY, Reply, client_of, closing, http, path_of, resetting, serving_paths, stalling
from tests.test_eval_run_directory import run_dir_of

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 12.0
vllm:num_requests_running{engine="1",model_name="m {} odd"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.1
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:num_preemptions_total{engine="0",model_name="m"} 1e+02
vllm:num_preemptions_created{engine="0",model_name="m"} 1.7e+09
vllm:request_success_total{finished_reason="stop"} 5
"""

SGLANG = """sglang:num_running_reqs{model_name="m",tp_rank="0"} 4
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 2
sglang:token_usage{model_name="m",tp_rank="0"} 0.9
sglang:num_retracted_reqs_total{model_name="m",tp_rank="0"} 3"""


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        (VLLM, ServerFigures(running=15, waiting=7, cache=0.75, preemptions=100)),
        ("vllm:gpu_cache_usage_perc 0.5 1700000000000\r\n", ServerFigures(cache=0.5)),
        (SGLANG, ServerFigures(running=4, waiting=2, cache=0.9, preemptions=3)),
        (
            "llamacpp:requests_processing 4\nllamacpp:requests_deferred 46\n",
            ServerFigures(running=4, waiting=46),
        ),
        ("vllm:num_requests_running NaN\nvllm:num_requests_waiting -3\nvllm:kv_cache_usage_perc 1e999\n", None),
        ("<html><body>vllm:num_requests_running 3</body></html>", None),
        ("vllm:num_requests_running", None),
        ("", None),
    ],
)
def test_each_server_is_read(text: str, figures: ServerFigures | None) -> None:
    """vLLM, SGLang and llama.cpp are read under the names of old and new versions, their engines added up."""
    assert parse_metrics(text) == figures


@given(st.one_of(st.text(), st.lists(st.sampled_from([*VLLM.split(), "\n", "{", "}", " "])).map(" ".join)))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever a server sends, figures are plausible numbers or none."""
    figures = parse_metrics(text)
    if figures is not None:
        assert figures.cache is None or 0 <= figures.cache <= 1
        assert all(value is None or value >= 0 for value in (figures.running, figures.waiting, figures.preemptions))


def watched(run_dir: RunDir, replies: Mapping[str, Reply], rounds: int = 5) -> list[str]:
    """The paths that a watch of so many rounds asks a server for, which writes to a run directory."""

    async def scenario() -> list[str]:
        async with serving_paths(replies) as server, client_of(server.url, timeout_s=0.2) as client:
            with anyio.CancelScope() as scope:
                left = [rounds]

                def clients() -> dict[str, CompletionClient]:
                    left[0] -= 1
                    if left[0] < 0:
                        scope.cancel()
                    return {client.endpoint.base_url: client}

                await watch_metrics(clients, run_dir, no_check, interval_s=0)
            return [path_of(head) for head in server.heads]

    return anyio.run(scenario)


def test_the_load_is_written_beside_the_run(tmp_path: Path) -> None:
    """What a server tells stands in server_metrics.jsonl by endpoint, with nothing of its key."""
    asked = watched(RunDir(tmp_path), {"/metrics": http(200, VLLM)})
    assert asked == ["/metrics"] * 5
    loads = read_loads(RunDir(tmp_path))
    assert sum(load.n for load in loads) == 5
    assert {(load.running, load.waiting, load.cache, load.preemptions) for load in loads} == {(15, 7, 0.75, 0)}
    assert loads[0].endpoint.startswith("http://127.0.0.1:")
    assert abs(loads[0].start - time.time()) < 1000
    assert KEY not in RunDir(tmp_path).server_metrics.read_text()


@pytest.mark.parametrize(
    "reply",
    [
        http(404, {"detail": "Not Found"}),
        http(401, {"error": "no"}),
        http(500, "vllm:num_requests_running 3"),
        http(200, "<html>vllm:num_requests_running 3</html>"),
        http(200, b"\xff\x00\x80" * 1000),
        http(200, b"vllm:num_requests_running 3\n" + b"x" * 5_000_000),
        http(302, b"", location="http://127.0.0.1:1/metrics"),
        closing(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nvllm:"),
        resetting(),
        stalling(b"HTTP/1.1 200 X\r\n"),
    ],
)
def test_a_server_without_metrics_is_left_alone(reply: Reply, tmp_path: Path) -> None:
    """After three tries that tell nothing a server is not asked again, whatever it replied, and there is no file."""
    asked = watched(RunDir(tmp_path), {"/metrics": reply})
    assert 1 <= len(asked) <= 6  # a transport may ask again on a new connection
    assert set(asked) == {"/metrics"}
    assert not RunDir(tmp_path).server_metrics.exists()


def test_a_server_that_was_away_is_asked_again(tmp_path: Path) -> None:
    """One that told something is asked again and again; preemptions are counted since the last time or its start."""
    counts = iter(["10", "14", "", "", "", "", "3", "3"])

    async def reply(stream: "anyio.abc.ByteStream") -> None:
        count = next(counts)
        await stream.send(http(200, f"vllm:num_preemptions_total {count}\n") if count else http(503, "away"))

    watched(RunDir(tmp_path), {"/metrics": reply}, rounds=8)
    loads = read_loads(RunDir(tmp_path))
    assert sum(load.n for load in loads) == 4
    assert sum(load.preemptions or 0 for load in loads) == 4 + 3


def test_a_server_that_has_left_is_not_asked(tmp_path: Path) -> None:
    """Its connections may be closed between two rounds, or within one; that is no error of the run."""

    async def scenario() -> None:
        async with serving_paths({"/metrics": http(200, VLLM)}) as server, client_of(server.url) as client:
            assert await server_figures(client) is not None
            await client.aclose()
            with anyio.move_on_after(0.1):
                await watch_metrics(lambda: {"a": client}, RunDir(tmp_path), no_check, interval_s=0)

    anyio.run(scenario)
    assert not RunDir(tmp_path).server_metrics.exists()


def test_the_watch_ends_with_the_lock(tmp_path: Path) -> None:
    """Where the run directory was taken over nothing is written, and the watch ends by itself."""

    def lost() -> None:
        raise LockLostError("taken over")

    async def scenario() -> None:
        async with serving_paths({"/metrics": http(200, VLLM)}) as server, client_of(server.url) as client:
            await watch_metrics(lambda: {"a": client}, RunDir(tmp_path), lost, interval_s=0)

    anyio.run(scenario)
    assert not RunDir(tmp_path).server_metrics.exists()


@given(st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 3)), min_size=1, max_size=300))
def test_nothing_is_lost_where_loads_are_put_together(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[int, int]]
) -> None:
    """Whatever the clock, times and preemptions add up, means stay between the least and the most."""
    run_dir, now = RunDir(tmp_path_factory.mktemp("run")), [0]
    log = LoadLog(run_dir, no_check, clock=lambda: float(now[0]))
    for at, endpoint in told:
        now[0] = at
        log.add([Load(start=0, seconds=15, endpoint=f"e{endpoint}", running=float(at % 7), preemptions=2.0)])
    log.save()
    loads = read_loads(run_dir)
    assert sum(load.n for load in loads) == len(told)
    assert sum(load.preemptions or 0 for load in loads) == 2 * len(told)
    assert all(0 <= (load.running or 0) <= 6 for load in loads)
    assert len({(load.start, load.endpoint) for load in loads}) == len(loads)


def test_the_file_stays_small(tmp_path: Path) -> None:
    """200 endpoints over 10 days take no more than 2 MB, and every one of them is still there."""
    now = [0.0]
    log = LoadLog(RunDir(tmp_path), no_check, clock=lambda: now[0])
    names = [f"http://10.0.0.{at}:8000/v1" for at in range(200)]
    for _ in range(100):
        now[0] += 8640
        log.add([Load(start=0, seconds=15, endpoint=name, running=12.5, waiting=1.0, cache=0.5) for name in names])
    log.save()
    assert RunDir(tmp_path).server_metrics.stat().st_size < 2_000_000
    loads = read_loads(RunDir(tmp_path))
    assert {load.endpoint for load in loads} == set(names)
    assert sum(load.n for load in loads) == 20_000


@given(st.binary(max_size=200))
def test_what_cannot_be_read_is_left_out(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
    """Whatever stands in the file, what is a load is read, without credentials, and the rest is nothing."""
    run_dir = RunDir(tmp_path_factory.mktemp("run"))
    whole = msgspec.json.encode(Load(start=20, seconds=15, endpoint="http://u:p@a/v1", n=2))
    run_dir.server_metrics.write_bytes(whole + b"\n" + rubbish)
    assert [load.endpoint for load in read_loads(run_dir)][:1] == ["http://***@a/v1"]


def test_the_loads_of_shards_are_put_together(tmp_path: Path) -> None:
    """What servers told to several shards at the same time stands in one file."""
    runs = [RunDir(tmp_path / name) for name in ("1", "2", "out")]
    for at, run in enumerate(runs[:2]):
        run.path.mkdir()
        log = LoadLog(run, no_check, clock=lambda: 1000.0)
        log.add([Load(start=0, seconds=15, endpoint="a", running=float(at), cache=at / 2)])
        log.save()
    runs[2].path.mkdir()
    merge_loads(runs[:2], runs[2])
    assert read_loads(runs[2]) == [Load(start=990, seconds=15, endpoint="a", n=2, running=0.5, cache=0.5)]


def noted(**load: float) -> str:
    """What is said of ten times with this load at two endpoints."""
    loads = [
        Load(start=15 * at, seconds=15, endpoint=endpoint, least_waiting=load.get("waiting"), **load)  # type: ignore[arg-type]
        for at in range(10)
        for endpoint in "ab"
    ]
    return " ".join(load_notes(loads))


def test_only_what_explains_slowness_is_said() -> None:
    """Preemptions, a full cache, a queue and idle room are told in a line; a server in good use is not."""
    assert noted(running=20.0, waiting=0.0, cache=0.8) == ""
    assert "40 requests lost their place" in noted(running=20.0, waiting=0.0, cache=0.8, preemptions=2.0)
    assert "the cache was 97% full at 2 of 2 endpoints" in noted(running=20.0, waiting=0.0, cache=0.97)
    assert "always waited at 2 of 2 endpoints (60 at a time)" in noted(running=20.0, waiting=30.0, cache=0.8)
    assert "no request waited, with 8 at work" in noted(running=4.0, waiting=0.0, cache=0.1)
    assert noted(running=4.0) == ""


def test_a_run_shows_the_load_of_its_server(
    fault_server: StartFaultServer, call_bootcamp: RunBootcamp, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A server with /metrics leaves a file beside the run, charts on its page, and its figures in JSON."""
    server = fault_server(test_dir=demo_test_dir, latency=0.3, metrics=True, api_key="key-that-must-not-leak")
    done = call_bootcamp(
        *("eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir), "--quiet"),
        *("--include", "maze*", "--api-key", "key-that-must-not-leak"),
    )
    assert done.returncode == 0, done.stderr
    run_dir = RunDir(run_dir_of(tmp_path / "output"))
    assert {load.endpoint for load in read_loads(run_dir)} == {server.url}
    assert "must-not-leak" not in run_dir.server_metrics.read_text()
    page = Page(open_run(run_dir.path).write_page().read_bytes())
    assert {"server_running", "server_waiting", "server_cache"} <= set(page.charts)
    report = json.loads(call_bootcamp("report", str(run_dir.path), "--json").stdout)
    assert report["endpoints"][0]["server"]["n"] >= 1


def test_a_server_that_is_not_to_be_asked_is_not(
    fault_server: StartFaultServer, call_bootcamp: Callable[..., object], demo_test_dir: Path, tmp_path: Path
) -> None:
    """With --no-check-model-url nothing but completions is asked for."""
    server = fault_server(test_dir=demo_test_dir, metrics=True)
    call_bootcamp(
        *("eval", "--url", server.url, "--model-name", "demo", "--test-dir", str(demo_test_dir), "--quiet"),
        *("--include", "maze*", "--no-check-model-url"),
    )
    assert not RunDir(run_dir_of(tmp_path / "output")).server_metrics.exists()
