"""What is done after a run of 1,000,000 samples: report, page, frame, comparison, export, viewer; and rescoring.

Each is measured beside a plain decoding of the same records, in one process and without anything else.
"""

import atexit
import json
import os
import random
import sys
from collections.abc import Callable
from functools import cache
from http.cookiejar import CookieJar
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

from bootcamp_cli.bootcamps.registry import CATALOG
from bootcamp_cli.store.records import make_record
from bootcamp_cli.types import Answer, Sample, Verdict, encode_line
from tests.benchmarks.data import n_rows, public_test_dir
from tests.benchmarks.measure import Cost, run, stub, tool_command
from tests.run_directories import write_run

Figures = dict[str, Any]

_N = 1_000_000
_MAX_MB = 1024

_DECODE = (
    "import sys; from pathlib import Path; from bootcamp_cli.store.records import decode_record\n"
    "for path in Path(sys.argv[1]).glob('details/*'):\n"
    "    with path.open('rb') as file:\n"
    "        assert all(map(decode_record, file))"
)
_FRAME = f"import sys; from bootcamp_cli import open_run\nassert len(open_run(sys.argv[1]).samples()) == {_N}"


def report_speed() -> Figures:
    """`bootcamp report`."""
    return _figures("report", _bootcamp("report", _large_run(), "--json"))


def page_speed() -> Figures:
    """`bootcamp report --html`."""
    run_dir = _large_run()
    figures = _figures("report --html", _bootcamp("report", run_dir, "--json", "--html"))
    return {**figures, "page, MB": (run_dir / "report.html").stat().st_size / 1e6}


def frame_speed() -> Figures:
    """`Run.samples()`, without the texts."""
    return _figures("frame", [sys.executable, "-c", _FRAME, str(_large_run())])


def compare_speed() -> Figures:
    """`bootcamp compare` of two runs, in which half of the answers flipped."""
    return _figures("compare", _bootcamp("compare", _large_run(), _large_run(1)), n_runs=2)


def export_speed() -> Figures:
    """`bootcamp export --format parquet`."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as folder:
        out = Path(folder) / "samples.parquet"
        return _figures("export to parquet", _bootcamp("export", _large_run(), "--format", "parquet", "--out", out))


def viewer_speed() -> Figures:
    """`bootcamp view`: from its start to the first page of samples, and to that of all once they are known."""
    with TemporaryDirectory(prefix="bootcamp-bench-") as cache_:
        first_s, all_s, mb = _viewed(_large_run(), Path(cache_))
        again_s, _, _ = _viewed(_large_run(), Path(cache_))
    return {
        "first page of the viewer, s": first_s,
        "first page of the viewer with a kept index, s": again_s,
        "viewer, all samples known, s": all_s,
        "viewer, MB": mb,
    }


def _viewed(run_dir: Path, cache_: Path) -> tuple[float, float, float]:
    """Seconds to the first samples and to all of them, and the peak memory in MB."""
    env = {**os.environ, "XDG_CACHE_HOME": str(cache_)}
    started = perf_counter()
    with Popen(_bootcamp("view", run_dir, "--no-browser"), stdout=PIPE, stderr=DEVNULL, env=env, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        opener = build_opener(HTTPCookieProcessor(CookieJar()))
        opener.open(url).read()
        base = url.partition("?")[0]

        def seconds_until(path: str, is_there: Callable[[Any], bool]) -> float:
            while not is_there(json.load(opener.open(f"{base}api/{path}"))):
                sleep(0.02)
            return perf_counter() - started

        first_s = seconds_until("samples?n=100", lambda page: page["items"])
        all_s = seconds_until("state", lambda state: state["runs"][0]["complete"])
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        process.terminate()
    return first_s, all_s, int(status.partition("VmHWM:")[2].split()[0]) / 1024


def rescore_speed() -> Figures:
    """`bootcamp rescore` of the public set's outputs: wall time and how many cores it used."""
    with public_test_dir() as test_dir, TemporaryDirectory(prefix="bootcamp-bench-") as output:
        with stub("--chars=4000") as url:
            run("eval", tool_command(url, test_dir, Path(output), n_slots=128), url)
        [run_dir] = Path(output).iterdir()
        cost = min((_cost(_bootcamp("rescore", run_dir, "--dry-run", "--json")) for _ in range(5)), key=_wall_s)
        n = n_rows(test_dir)
    return {
        "rescore, s": cost.wall_s,
        "rescore, records/s": n / cost.wall_s,
        "rescore, CPU-s": cost.cpu_s,
        "rescore, cores used": cost.cpu_s / cost.wall_s,
        "records": n,
    }


def _wall_s(cost: Cost) -> float:
    return cost.wall_s


def _figures(name: str, command: list[str], *, n_runs: int = 1) -> Figures:
    """What a command cost that reads large runs."""
    cost = _cost(command)
    assert cost.exit_code == 0
    assert cost.main_mb < _MAX_MB
    what = f"{name} of" if n_runs == 1 else f"{name} of two runs of"
    return {
        f"{what} {_N:,} records, s": cost.wall_s,
        f"{name}, CPU-s": cost.cpu_s,
        f"{name}, times a plain decoding": cost.cpu_s / (n_runs * _decoding_s()),
        f"{name}, MB": cost.main_mb,
    }


def _bootcamp(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bootcamp_cli", *map(str, arguments)]


def _cost(command: list[str]) -> Cost:
    """The cost of a command that asks no server."""
    with stub() as url:
        return run(command[0], command, url)


@cache
def _decoding_s() -> float:
    """CPU seconds for decoding the records of a large run, and nothing else."""
    return _cost([sys.executable, "-c", _DECODE, str(_large_run())]).cpu_s


@cache
def _large_run(seed: int = 0) -> Path:
    """A run of 1,000,000 samples, which is removed at the end of this process."""
    folder = TemporaryDirectory(prefix="bootcamp-bench-")
    atexit.register(folder.cleanup)
    return write_large_run(Path(folder.name) / "run", _N, seed=seed)


_N_FILES = 80
_TEXT = "the cell in row 3 has \\(\\frac{1}{2}\\) so we place a “7” → and check: \n\n**step** 12 + 30 = 42, then"
_WORDS = _TEXT.split(" ")


def write_large_run(path: Path, n: int, *, repeats: int = 1, seed: int = 0) -> Path:
    """A complete run of n samples of about 1 kB in 80 files.

    As answers are: texts and lengths that differ, one in twenty truncated, one in two hundred tried twice. Runs of
    other seeds have the same questions and other answers.
    """
    names = sorted(CATALOG)[:_N_FILES]
    n_rows = n // _N_FILES // repeats
    run_dir = write_run(path, dict.fromkeys(names, ()), planned=dict.fromkeys(names, n_rows), repeats=repeats)
    for at, name in enumerate(names):
        random_ = random.Random(1000 * seed + at)  # noqa: S311 - answers, not secrets
        with (run_dir / "details" / f"{name}.jsonl").open("wb") as file:
            file.writelines(_line(name, row, repeat, random_) for row in range(n_rows) for repeat in range(repeats))
    return run_dir


def _line(name: str, row: int, repeat: int, random_: random.Random) -> bytes:
    text = " ".join(random_.choices(_WORDS, k=75))
    n_tokens = random_.randint(50, 400)
    is_right, is_cut = random_.random() < 0.6, random_.random() < 0.05
    sample = Sample(
        file=f"{name}.jsonl",
        row=row,
        repeat=repeat,
        id=row,
        data_source=name,
        prompt=f"{name}, puzzle {row}: " + "fill the grid so that each row has every number once.\n" * 4,
        ground_truth={"answer": [row, row % 7], "size": 4},
    )
    answer = Answer(
        text=f"{text}\n\\boxed{{{row}}}",
        finish_reason="length" if is_cut else "stop",
        usage={"prompt_tokens": 70, "completion_tokens": n_tokens, "total_tokens": 70 + n_tokens},
        model="demo",
    )
    is_tried_again = random_.random() < 0.005
    record = make_record(
        sample,
        answer,
        Verdict(score=float(is_right and not is_cut), extracted=None if is_cut else str(row)),
        attempts=1 + is_tried_again,
        latency_s=random_.expovariate(1 / 3),
        retries=("http_503",) if is_tried_again else (),
    )
    return encode_line(record)
