"""What a run of millions of samples costs at many endpoints, stage by stage, and how the cost grows.

`python -m tests.benchmarks.internet_scale` (Linux, half an hour to an hour; `--short` a tenth). `--only STAGE` measures
one, `--samples` and `--endpoints` other sizes. Each measurement is a process of its own. CPU seconds are user and
system time of that process; those of the verification workers are given apart. What stands for the servers is
`SimulatedTransport`: it answers after a latency without a connection, so that everything of the engine is real but the
HTTP library, whose share `python -m tests.benchmarks` has measured.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
from argparse import ArgumentParser
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from subprocess import run as run_process
from tempfile import TemporaryDirectory

import anyio
from msgspec.structs import replace

from bootcamp_cli import open_run
from bootcamp_cli.analysis.drift import DriftWatch
from bootcamp_cli.api import merge
from bootcamp_cli.engine.fleet import Fleet, ServerLane
from bootcamp_cli.engine.plan import Plan, make_plan
from bootcamp_cli.engine.run import run
from bootcamp_cli.engine.scheduler import Scheduler, WorkQueue
from bootcamp_cli.engine.session import new_session, resumed_session
from bootcamp_cli.events import Event
from bootcamp_cli.server.client import CompletionClient, make_client
from bootcamp_cli.server.endpoint import Endpoint, endpoint
from bootcamp_cli.server.replicas import Replicas
from bootcamp_cli.server.request import GenerationConfig
from bootcamp_cli.server.transport import OpenReply, Reply
from bootcamp_cli.settings.model import EndpointSettings, Settings
from bootcamp_cli.store.atomic import no_check
from bootcamp_cli.store.journal import open_journal, replay
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.store.records import make_record
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES
from bootcamp_cli.types import Answer, Record, Sample, Shard, Verdict, encode_line, encode_record
from bootcamp_cli.verdicts import score_many
from tests.benchmarks.measure import ROOT
from tests.run_directories import write_run

Figures = dict[str, float]

N_FILES = 80
N_SLOTS = 1600
"""Requests in flight, however many endpoints share them."""

_LATENCY_S = 0.1
_BATCH = 256
_PER_SYNC = 4096
_BOOTCAMP = "KorPuzzleWordLadder"
_TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
_QUESTION = {"data_source": _BOOTCAMP, "prompt": "p" * 250, "ground_truth": _TRUTH}
_SAMPLE = Sample(file="", row=0, id=0, data_source=_BOOTCAMP, prompt="p" * 250, ground_truth=_TRUTH)
_TEXT = f"{'x' * 600} [[3]]"
_ANSWER = Answer(text=_TEXT, finish_reason="stop", usage={"completion_tokens": 100}, model="stub")
_VERDICT = Verdict(score=1.0, extracted=3)
_REPLY = Reply(
    status=200,
    headers={"content-type": "application/json"},
    body=json.dumps(
        {
            "model": "stub",
            "choices": [{"index": 0, "text": _TEXT, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 60, "completion_tokens": 100},
        }
    ).encode(),
)
_MODELS = Reply(status=200, headers={}, body=b'{"data": [{"id": "stub"}]}')


class SimulatedTransport:
    """A server that answers every prompt alike, after an exponential latency; there is no connection to it."""

    def __init__(self, endpoint: Endpoint, seed: int) -> None:
        self.endpoint = endpoint
        self._random = random.Random(seed)  # noqa: S311 - latencies

    async def post(self, path: str, body: bytes) -> Reply:  # noqa: ARG002 - as a transport is called
        """The answer."""
        await asyncio.sleep(self._random.expovariate(1 / _LATENCY_S))
        return _REPLY

    def post_stream(self, path: str, body: bytes) -> AbstractAsyncContextManager[OpenReply]:
        """Not asked for."""
        raise NotImplementedError

    async def get(self, path: str, *, beside_api: bool = False) -> Reply:  # noqa: ARG002 - as above
        """The list of models."""
        return _MODELS

    async def aclose(self) -> None:
        """Nothing to close."""


class SimulatedReplicas(Replicas):
    """Servers without connections."""

    async def open(self, target: Endpoint) -> CompletionClient:
        """A client of one."""
        client = client_of(target, self._generation, len(self.clients))
        self.clients[target.base_url] = client
        return client


def client_of(target: Endpoint, generation: GenerationConfig, seed: int) -> CompletionClient:
    """The tool's client of a simulated server."""
    return CompletionClient(SimulatedTransport(target, seed), generation, timeout_s=600.0, idle_timeout_s=300.0)


@dataclass(slots=True)
class Meter:
    """CPU time of this process and its workers, and its memory, from when it is made."""

    cpu_s: float = 0.0
    workers_s: float = 0.0
    mb: float = 0.0

    def __post_init__(self) -> None:
        self.cpu_s, self.workers_s, self.mb = time.process_time(), _workers_s(), memory_mb("VmRSS")

    def us_per(self, n: int) -> float:
        """Microseconds of CPU time per sample."""
        return 1e6 * (time.process_time() - self.cpu_s) / n

    def workers_us_per(self, n: int) -> float:
        """The same of the processes that were started and have ended."""
        return 1e6 * (_workers_s() - self.workers_s) / n

    def more_mb(self) -> float:
        """How much more memory there is."""
        return memory_mb("VmRSS") - self.mb


def _workers_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_mb(which: str = "VmHWM") -> float:
    """Memory of this process, by default the most that it ever had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) / 1024
    return 0.0


# The whole engine


def engine(n: int, n_endpoints: int) -> Figures:
    """A run from the check of the test dir to the last record, ordered and synced; reports are measured apart."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        test_dir = write_test_dir(Path(folder) / "tests", n)
        plan = plan_of(test_dir, Path(folder) / "output", n_endpoints)
        begun, meter = time.perf_counter(), Meter()
        n_events = 0

        def emit(event: Event) -> None:
            nonlocal n_events
            n_events += 1

        with new_session(plan, {"id": "stub"}, lambda _: None) as session:

            async def main() -> None:
                async with servers_of(plan) as servers:
                    await run(session, servers, emit)

            anyio.run(main)
            session.settle()
            n_written = sum(index.n_answered for index in session.journal.details.values())
        assert n_written == n
        return {
            "main process, us": meter.us_per(n),
            "workers, us": meter.workers_us_per(n),
            "samples/s": n / (time.perf_counter() - begun),
            "peak MB": memory_mb(),
            "events": n_events / n,
        }


@asynccontextmanager
async def servers_of(plan: Plan) -> AsyncIterator[CompletionClient | Replicas]:
    """What a run asks: a single server without further ado, as the tool does, or several."""
    replicas = SimulatedReplicas(plan.settings, plan.generation)
    yield replicas if replicas.are_several else await replicas.open(replicas.endpoints[0])


def write_test_dir(path: Path, n: int) -> Path:
    """A test dir of n rows."""
    path.mkdir()
    line = encode_line(_QUESTION)
    for number in range(N_FILES):
        with (path / f"part{number:03}.jsonl").open("wb") as file:
            file.writelines(line for _ in range(number, n, N_FILES))
    return path


def plan_of(test_dir: Path, output_dir: Path, n_endpoints: int, *, most: int | None = None) -> Plan:
    """The plan of a run at so many endpoints, each of them taking at most so many requests at once."""
    urls = [f"http://replica{number:03}.invalid/v1" for number in range(n_endpoints)]
    settings = Settings(
        endpoints=tuple(EndpointSettings(url=url, max_concurrent_requests=most) for url in urls),
        model_name="stub",
        test_dir=test_dir,
        output_dir=output_dir,
        max_concurrent_requests=N_SLOTS,
    )
    return make_plan(settings, BUILTIN_TEMPLATES[0], sys_prompt=None)


# Its stages


def reading(n: int, n_endpoints: int) -> Figures:
    """Check of the test dir, then the queue that reads it: order of work, lengths that are learned, rows read."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        test_dir = write_test_dir(Path(folder) / "tests", n)
        meter = Meter()
        plan = plan_of(test_dir, Path(folder) / "output", 1)
        checked = meter.us_per(n)
        with new_session(plan, {"id": "stub"}, lambda _: None) as session:
            files = {file.name: session.owed(file) for file in plan.test_set.files}
            meter = Meter()
            asyncio.run(_scheduled(files, n))
        return {"check, us": checked, "read and queue, us": meter.us_per(n), "peak MB": memory_mb()}


def scheduling(n: int, n_endpoints: int) -> Figures:
    """The order of work alone: samples that are there, through queue and scheduler."""
    files = {f"part{number:03}.jsonl": _samples(number, n) for number in range(N_FILES)}
    meter = Meter()
    asyncio.run(_scheduled(files, n))
    return {"order of work, us": meter.us_per(n), "peak MB": memory_mb()}


def _samples(number: int, n: int) -> Iterator[Sample]:
    sample = replace(_SAMPLE, file=f"part{number:03}.jsonl")
    return (sample for _ in range(number, n, N_FILES))


async def _scheduled(files: dict[str, Iterator[Sample]], n: int) -> None:
    queue = WorkQueue(files, n_owed=dict.fromkeys(files, n // N_FILES))
    scheduler = Scheduler(queue, n_ahead=N_SLOTS)

    async def admit() -> None:
        pass

    async def take() -> int:
        n_taken = 0
        while (sample := await scheduler.next()) is not None:
            n_taken += 1
            scheduler.observe(sample.file, 100 + n_taken % 50)
        return n_taken

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scheduler.read_ahead(admit))
        taken = [tasks.create_task(take()) for _ in range(4)]
    assert sum(task.result() for task in taken) == n


def dispatch(n: int, n_endpoints: int, *, most: int | None = None) -> Figures:
    """Requests through dispatcher, lanes, paces, limiters and breakers; who is answered next is drawn at random."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        test_dir = write_test_dir(Path(folder) / "tests", N_FILES)
        plan = plan_of(test_dir, Path(folder) / "output", n_endpoints, most=most)
        return asyncio.run(_dispatched(plan, n))


async def _dispatched(plan: Plan, n: int) -> Figures:
    before = Meter()
    replicas = SimulatedReplicas(plan.settings, plan.generation)
    fleet = Fleet(replicas, plan, model={"id": "stub"}, n_in_work=lambda: N_SLOTS, emit=lambda _: None)
    fleet.is_looking = False
    for target in replicas.endpoints:
        lane = ServerLane(fleet, await replicas.open(target), None)
        lane.is_used = True
        fleet.lanes.append(lane)
        fleet._dispatcher.add(lane)
    lanes_mb = before.more_mb()
    in_flight: list[asyncio.Future[None]] = []
    loop, draw, n_left = asyncio.get_running_loop(), random.Random(0), n  # noqa: S311 - no secret

    async def slot() -> None:
        nonlocal n_left
        while n_left > 0:
            n_left -= 1
            lane, start = await fleet.start(first=False)
            answer = loop.create_future()
            in_flight.append(answer)
            await answer
            lane.answered(start)

    async with asyncio.TaskGroup() as tasks:
        slots = [tasks.create_task(slot()) for _ in range(N_SLOTS)]
        await asyncio.sleep(1.0)  # the ramps at the start are over
        meter, n_before = Meter(), n_left
        while not all(task.done() for task in slots):
            for _ in range(min(64, len(in_flight))):
                at = draw.randrange(len(in_flight))
                in_flight[at], in_flight[-1] = in_flight[-1], in_flight[at]
                in_flight.pop().set_result(None)
            await asyncio.sleep(0)
    counts = sorted(lane.traffic.n_answered for lane in fleet.lanes)
    return {
        "dispatch, us": meter.us_per(n_before),
        "least and most at an endpoint": counts[-1] / max(1, counts[0]),
        "lanes, MB": lanes_mb,
    }


def drift(n: int, n_endpoints: int, *, n_bootcamps: int = N_FILES) -> Figures:
    """The watch for endpoints that answer otherwise than the others, one of which loses 20 points."""
    names = [f"http://replica{number:03}.invalid/v1" for number in range(n_endpoints)]
    bootcamps = [f"bootcamp{number}" for number in range(n_bootcamps)]
    draw, watch, meter = random.Random(0), DriftWatch(), Meter()  # noqa: S311 - no secret
    waiting = deque(watch.started(draw.choice(names)) for _ in range(N_SLOTS))
    longest = 0.0
    for i in range(n):
        token = waiting.popleft()
        bootcamp = bootcamps[i * n_bootcamps // n]
        score, length = (
            float(draw.random() < (0.3 if token.endpoint == names[0] else 0.5)),
            int(draw.lognormvariate(6, 0.5)),
        )
        begun = time.thread_time()
        watch.ended(token, bootcamp, score, length, truncated=False)
        longest = max(longest, time.thread_time() - begun)
        waiting.append(watch.started(draw.choice(names)))
    return {
        "drift, us": meter.us_per(n),
        "longest look, ms": 1000 * longest,
        "MB": meter.more_mb(),
        "findings": len(watch.findings),
    }


def clients(n: int, n_endpoints: int) -> Figures:
    """Memory of real clients, without connections."""

    async def main() -> Figures:
        figures: Figures = {}
        for scheme in ("http", "https"):
            targets = [endpoint(f"{scheme}://replica{number:03}.invalid/v1") for number in range(n_endpoints)]
            await (await make_client(plan.settings, plan.generation, targets[0])).aclose()  # imports what all need
            meter = Meter()
            opened = [await make_client(plan.settings, plan.generation, target) for target in targets]
            figures[f"{scheme}, kB per endpoint"] = 1024 * meter.more_mb() / n_endpoints
            for client in opened:
                await client.aclose()
        return figures

    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        plan = plan_of(write_test_dir(Path(folder) / "tests", N_FILES), Path(folder) / "output", 1)
        return asyncio.run(main())


def journal(n: int, n_endpoints: int, *, n_files: int = N_FILES) -> Figures:
    """Records appended in batches, synced, put in order, replayed; answers come in another order than the rows'."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder, acquire(Path(folder)) as lock:
        run_dir = RunDir(Path(folder))
        run_dir.details.mkdir()
        files = [f"part{number:03}.jsonl" for number in range(n_files)]
        before = Meter()
        book = open_journal(run_dir, lock, files)
        meter, figures = Meter(), Figures()
        records = _shuffled(files, n)
        n_batches = 0
        while batch := list(islice(records, _BATCH)):
            book.append(batch)
            n_batches += 1
            if n_batches % (_PER_SYNC // _BATCH) == 0:
                book.sync()
        figures["append and sync, us"] = meter.us_per(n) - _making_us()
        figures["index, bytes per record"] = 1024**2 * before.more_mb() / n
        meter = Meter()
        for file in files:
            book.put_in_order(file)
        figures["put in order, us"] = meter.us_per(n)
        sizes = [path.stat().st_size for path in run_dir.details.iterdir()]
        texts = len(_TEXT) + len(_SAMPLE.prompt) + len(encode_line(_TRUTH))
        figures["bytes per record"] = sum(sizes) / n
        figures["bytes beside texts"] = sum(sizes) / n - texts
        meter = Meter()
        indexes = [replay(run_dir.details / file) for file in files]
        figures["replay, us"] = meter.us_per(n)
        figures["replay, bytes per record"] = 1024**2 * meter.more_mb() / n
        assert sum(index.n_answered for index in indexes) == n
        return figures | {"peak MB": memory_mb()}


def _shuffled(files: list[str], n: int) -> Iterator[tuple[str, Record]]:
    """Records of one file after the other, those of each in an order that is off by up to the requests in flight."""
    draw = random.Random(0)  # noqa: S311 - no secret
    waiting: list[tuple[str, int]] = []
    for number, file in enumerate(files):
        for row in range(len(range(number, n, len(files)))):
            waiting.append((file, row))
            if len(waiting) == N_SLOTS:
                at = draw.randrange(N_SLOTS)
                waiting[at], waiting[-1] = waiting[-1], waiting[at]
                yield _recorded(*waiting.pop())
    draw.shuffle(waiting)
    yield from (_recorded(*each) for each in waiting)


def _recorded(file: str, row: int, score: float = 1.0) -> tuple[str, Record]:
    sample = replace(_SAMPLE, file=file, row=row, id=row)
    verdict = _VERDICT if score else Verdict(score=0.0, extracted=4)
    endpoint = f"http://replica{row % 200:03}.invalid/v1"
    return file, make_record(sample, _ANSWER, verdict, attempts=1, latency_s=1.0, endpoint=endpoint)


def _making_us() -> float:
    """What making the records takes, which is no part of the journal."""
    meter, n = Meter(), 20_000
    for _ in _shuffled(["a.jsonl"], n):
        pass
    return meter.us_per(n)


def verification(n: int, n_endpoints: int) -> Figures:
    """Verdicts of a quick built-in bootcamp: what the main process and the workers take."""
    score_of = partial(score_many, settings=Settings(verify_workers=2))
    meter = Meter()
    n_right = sum(verdict.score == 1 for verdict in score_of((_BOOTCAMP, _TEXT, _TRUTH) for _ in range(n)))
    assert n_right == n
    return {"main process, us": meter.us_per(n), "workers, us": meter.workers_us_per(n), "peak MB": memory_mb()}


def merging(n: int, n_endpoints: int, *, n_shards: int = 8) -> Figures:
    """`merge` of shards, with its reports."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        runs = [write_shard(Path(folder) / f"{number}", n, number, n_shards) for number in range(1, n_shards + 1)]
        meter, begun = Meter(), time.perf_counter()
        merge(*runs, out=Path(folder) / "merged")
        return {"merge, us": meter.us_per(n), "s": time.perf_counter() - begun, "peak MB": memory_mb()}


def reports(n: int, n_endpoints: int) -> Figures:
    """The reports of a run, and its page."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        path = write_shard(Path(folder) / "1", n, 1, 1)
        meter = Meter()
        open_run(path).write_reports()
        figures = {"reports, us": meter.us_per(n), "reports, MB": memory_mb()}
        meter = Meter()
        open_run(path).write_page()
        return figures | {"page, us": meter.us_per(n), "page, MB": memory_mb()}


def write_shard(path: Path, n: int, number: int, count: int) -> Path:
    """The run directory of a shard whose samples have all ended; records of about 1 kB, of 200 endpoints."""
    names = [f"part{file:03}" for file in range(N_FILES)]
    planned = {name: len(range(at, n, N_FILES)) for at, name in enumerate(names)}
    shard = Shard(number, count)
    run_dir = RunDir(write_run(path, {name: [] for name in names}, planned=planned, repeats=1))
    if count > 1 and (manifest := run_dir.read_manifest()) is not None:
        files = tuple(replace(file, in_shard=file.data_sources) for file in manifest.files)
        sharded = replace(manifest, files=files, identity=manifest.identity | {"shard": str(shard)})
        run_dir.write_manifest(sharded, no_check)
    # `write_run` names each file's bootcamp like the file
    for name in names:
        rows = islice(shard.rows(f"{name}.jsonl"), -(-planned[name] // count))
        with (run_dir.details / f"{name}.jsonl").open("wb") as file:
            for row in rows:
                if row < planned[name]:
                    record = _recorded(f"{name}.jsonl", row, float(row % 2))[1]
                    file.write(encode_record(replace(record, data_source=name)))
    return path


def resuming(n: int, n_endpoints: int) -> Figures:
    """Until a run with all but a hundredth of its samples can go on: check, replay, the way to the first owed row."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        test_dir = write_test_dir(Path(folder) / "tests", n)
        plan = plan_of(test_dir, Path(folder) / "output", 1)
        with new_session(plan, {"id": "stub"}, lambda _: None) as session:
            run_dir = session.run_dir
        for file in plan.test_set.files:
            with (run_dir.details / file.name).open("wb") as target:
                target.writelines(encode_record(_recorded(file.name, row)[1]) for row in range(file.n_rows * 99 // 100))
        meter, begun = Meter(), time.perf_counter()
        plan = plan_of(test_dir, Path(folder) / "output", 1)
        checked = meter.us_per(n)
        with resumed_session(plan, run_dir, lambda _: None) as session:
            opened = meter.us_per(n)
            n_owed = sum(1 for file in plan.test_set.files for _ in session.owed(file))
        assert n_owed == session.n_owed
        return {
            "check, us": checked,
            "replay, us": opened - checked,
            "owed rows, us": meter.us_per(n) - opened,
            "s": time.perf_counter() - begun,
            "peak MB": memory_mb(),
        }


Stage = Callable[[int, int], Figures]

STAGES: dict[str, tuple[Stage, tuple[tuple[int, int], ...]]] = {
    "engine": (engine, ((1_000_000, 1), (1_000_000, 8), (1_000_000, 200), (100_000, 200), (100_000, 1))),
    "reading": (reading, ((1_000_000, 1), (100_000, 1))),
    "scheduling": (scheduling, ((1_000_000, 1), (10_000_000, 1))),
    "dispatch": (dispatch, ((1_000_000, 1), (1_000_000, 8), (1_000_000, 200))),
    "dispatch, endpoints full": (partial(dispatch, most=4), ((1_000_000, 8), (1_000_000, 200))),
    "drift": (drift, ((1_000_000, 8), (1_000_000, 200), (10_000_000, 200))),
    "drift, 1,000 bootcamps": (partial(drift, n_bootcamps=1000), ((1_000_000, 200),)),
    "clients": (clients, ((0, 200), (0, 1000))),
    "journal": (journal, ((1_000_000, 200), (100_000, 200))),
    "journal, one file": (partial(journal, n_files=1), ((1_000_000, 200),)),
    "verification": (verification, ((200_000, 1),)),
    "merge of 8": (merging, ((1_000_000, 200), (100_000, 200))),
    "merge of 200": (partial(merging, n_shards=200), ((1_000_000, 200),)),
    "reports": (reports, ((1_000_000, 200), (100_000, 200))),
    "resuming": (resuming, ((1_000_000, 1), (100_000, 1))),
}
"""What is measured: by name, with the numbers of samples and endpoints."""


def measured_apart(name: str, n: int, n_endpoints: int) -> Figures:
    """The figures of one measurement, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.internet_scale", "--here", name]
    done = run_process(
        [*command, f"--samples={n}", f"--endpoints={n_endpoints}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure one thing after another and print what came of it."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.internet_scale")
    parser.add_argument("--short", action="store_true", help="a tenth of the samples")
    parser.add_argument("--only", action="append", default=[], help="the name of a stage; repeatable")
    parser.add_argument("--samples", type=int, help="so many samples")
    parser.add_argument("--endpoints", type=int, help="so many endpoints")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--here", help="measure this stage in this process, and print it as JSON")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(STAGES[given.here][0](given.samples, given.endpoints)))
        return
    found = []
    for name, (_, sizes) in STAGES.items():
        if given.only and name not in given.only:
            continue
        for n, n_endpoints in sizes if given.samples is None and given.endpoints is None else sizes[:1]:
            size = (given.samples or n) // (10 if given.short else 1), given.endpoints or n_endpoints
            figures = measured_apart(name, *size)
            found.append(
                {"stage": name, "samples": size[0], "endpoints": size[1], "load": os.getloadavg()[0], **figures}
            )
            shown = ", ".join(f"{what}: {value:,.4g}" for what, value in figures.items())
            print(
                f"{name}, {size[0]:,} samples, {size[1]} endpoints (load {os.getloadavg()[0]:.1f}): {shown}", flush=True
            )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
