"""Verdicts without a run: in order, from isolated workers that end with whoever asked, wherever that is."""

import gc
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.errors import SettingsError, UsageError
from bootcamp_cli.settings.model import Settings
from bootcamp_cli.types import Verdict
from bootcamp_cli.verdicts import Item, score, score_many
from tests.bootcamps_builder import is_running, until
from tests.test_fixtures import install

LADDER = "KorPuzzleWordLadder"
TRUTH = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
ONE_WORKER = Settings(verify_workers=1)

WITNESS = """
import os, time

def extract_output(output):
    return os.getpid()

def verify_score(output, ground_truth):
    if output == "hang":
        time.sleep(1000)
    if output == "die":
        os._exit(3)
    if output == "note":
        with open(ground_truth, "w") as note:
            note.write(f"{os.getpid()}\\n")
        time.sleep(1000)
    if output.startswith("sleep"):
        time.sleep(float(output.split()[1]))
    return 1.0
"""
"""Extracts the worker's process id, and does to it what the output says."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with a package that has a bootcamp for the data source Witness; not on the search path yet."""
    install(tmp_path / "site", {"Witness": WITNESS})
    return tmp_path / "site"


@pytest.fixture
def witness(site: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The data source Witness, installed."""
    monkeypatch.syspath_prepend(site)
    return "Witness"


@pytest.fixture
def environment(clean_environment: dict[str, str], site: Path) -> dict[str, str]:
    """An environment for scripts in which Witness is installed."""
    return clean_environment | {"PYTHONPATH": os.pathsep.join([clean_environment["PYTHONPATH"], str(site)])}


def pids(verdicts: list[Verdict]) -> set[int]:
    """The processes that gave these verdicts of Witness."""
    return {verdict.extracted for verdict in verdicts}


def gone(processes: set[int]) -> bool:
    """Whether there were workers, and none of them runs."""
    return bool(processes) and not any(map(is_running, processes))


def script(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run code as a plain script, without the guard that multiprocessing would need."""
    head = "from bootcamp_cli.verdicts import score, score_many\n"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )


def test_one_output_has_the_verdict_of_a_run() -> None:
    """A right and a wrong output have the score and extraction that `bootcamp rescore` would give them."""
    assert score(LADDER, "so [[3]]", TRUTH) == Verdict(score=1.0, extracted=3)
    assert score(LADDER, "so [[4]]", TRUTH) == Verdict(score=0.0, extracted=4)


def test_reasoning_is_part_of_what_is_verified() -> None:
    """An answer in the reasoning counts, as keyword and as the fourth element of an item, and one in the output too."""
    assert score(LADDER, "see above", TRUTH).score == 0.0
    assert score(LADDER, "see above", TRUTH, reasoning="[[3]]").score == 1.0
    items: list[Item] = [(LADDER, "", TRUTH, "[[3]]"), (LADDER, "[[3]]", TRUTH, None), (LADDER, "[[3]]", TRUTH, "hm")]
    assert [verdict.score for verdict in score_many(items)] == [1.0] * 3


def test_verdicts_come_in_the_order_of_the_items(witness: str) -> None:
    """Of items of which the first take longest, in several workers, the verdicts come in the order of the items."""
    items: list[Item] = [(witness, f"sleep {0.3 - 0.1 * n}", None) for n in range(3)]
    items += [(LADDER, f"[[{n}]]", TRUTH) for n in range(200)]
    verdicts = list(score_many(items, settings=Settings(verify_workers=3)))
    assert [verdict.extracted for verdict in verdicts[3:]] == list(range(200))
    assert [verdict.score for verdict in verdicts[:3]] == [1.0] * 3


def test_a_data_source_without_a_bootcamp_is_a_verdict() -> None:
    """An unknown data source is unscored, as in a run, and its neighbours are verified."""
    unknown, known = score_many([("Nope", "x", None), (LADDER, "[[3]]", TRUTH)])
    assert unknown == Verdict(score=None, failure="unscored", error="no bootcamp for Nope")
    assert known.score == 1.0


def test_failing_verifiers_are_verdicts(witness: str) -> None:
    """A verifier that hangs or dies, and a ground truth that is no JSON, cost their own item the verdict."""
    items: list[Item] = [(witness, "hang", None), (witness, "die", None), (witness, "x", object())]
    items += [(LADDER, "[[3]]", TRUTH)]
    verdicts = list(score_many(items, settings=Settings(verify_timeout=0.5)))
    assert [verdict.failure for verdict in verdicts] == ["verifier_timeout", "verifier_crash", "verifier_error", None]


def test_endless_items_are_read_as_verdicts_are_taken(witness: str) -> None:
    """Of infinitely many items a bounded number is read ahead: 512, or 4 million characters of output."""
    n_read = itertools.count()

    def endless(output: str) -> Iterator[Item]:
        while True:
            next(n_read)
            yield witness, output, None

    for output, most in (("x", 512), ("x" * 1_000_000, 5)):
        verdicts = score_many(endless(output))
        found = list(itertools.islice(verdicts, 3))
        assert [verdict.score for verdict in found] == [1.0] * 3
        verdicts.close()
        assert next(n_read) <= 3 + most
        n_read = itertools.count()
        assert gone(pids(found))


def test_no_items_start_no_worker() -> None:
    """Without items there are no verdicts; a generator that was never asked has nothing to end."""
    assert list(score_many([])) == []
    never_asked = score_many(itertools.repeat((LADDER, "[[3]]", TRUTH)))
    never_asked.close()
    assert "bootcamp score" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("error", [ValueError("broken source"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_exception_of_the_items_ends_the_workers(witness: str, error: BaseException) -> None:
    """What the items raise comes out as it is, and no worker is left, not even one that is busy."""
    found: list[Verdict] = []

    def broken() -> Iterator[Item]:
        yield witness, "x", None
        while not found:
            yield witness, "x", None
        yield witness, "hang", None
        raise error

    with pytest.raises(type(error)):
        found.extend(score_many(broken(), settings=ONE_WORKER))
    assert gone(pids(found))


def test_a_dropped_generator_ends_its_workers(witness: str) -> None:
    """A generator that nobody refers to any more, even only in a cycle, ends its workers."""
    cycle: list[Any] = [score_many(itertools.repeat((witness, "x", None)))]
    cycle.append(cycle)
    found = {next(cycle[0]).extracted}
    del cycle
    gc.collect()
    assert gone(found)


def test_it_works_in_threads(witness: str) -> None:
    """Several threads score at the same time, each in workers of its own."""
    found: dict[int, list[Verdict]] = {}

    def work(number: int) -> None:
        found[number] = list(score_many([(witness, "x", None)] * 20, settings=ONE_WORKER))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(verdicts) for verdicts in found.values()] == [20] * 3
    assert len(set.union(*map(pids, found.values()))) == 3


def test_it_works_within_a_running_event_loop(environment: dict[str, str]) -> None:
    """A coroutine may score, as a notebook's cell does, and its loop goes on afterwards."""
    code = (
        "import asyncio\n"
        "async def cell():\n"
        f"    found = score({LADDER!r}, '[[3]]', {TRUTH!r}), *score_many([({LADDER!r}, '[[4]]', {TRUTH!r})])\n"
        "    await asyncio.sleep(0)\n"
        "    return [verdict.score for verdict in found]\n"
        "print(asyncio.run(cell()))"
    )
    done = script(code, environment)
    assert (done.stdout, done.stderr) == ("[1.0, 0.0]\n", "")


@pytest.mark.parametrize(
    ("end", "exit_code", "last_line"),
    [
        ("raise ValueError('mine')", 1, "ValueError: mine"),
        ("sys.exit(7)", 7, ""),
        ("", 0, ""),
    ],
    ids=["error", "exit", "end"],
)
def test_a_script_may_end_with_verdicts_left(
    environment: dict[str, str], end: str, exit_code: int, last_line: str
) -> None:
    """A script that ends, by itself or by an exception, before its verdicts do neither hangs nor complains."""
    code = (
        "import itertools, sys\n"
        "verdicts = score_many(itertools.repeat(('Witness', 'x', None)))\n"
        "for verdict in verdicts:\n"
        "    print(verdict.extracted, flush=True)\n"
        f"    {end or 'break'}\n"
    )
    done = script(code, environment)
    assert done.returncode == exit_code
    assert (done.stderr.splitlines() or [""])[-1] == last_line
    assert done.stderr.count("Traceback") == bool(last_line)
    assert gone({int(done.stdout)})


def test_a_thread_may_score_when_the_main_thread_has_ended(environment: dict[str, str]) -> None:
    """A thread that the interpreter waits for still gets all its verdicts; a daemon's generator does not hold it up."""
    code = (
        "import itertools, threading\n"
        "def work(n):\n"
        "    threading.main_thread().join()\n"
        "    print(sum(verdict.score for verdict in score_many([('Witness', 'sleep 0.3', None)] * n)))\n"
        "started = threading.Event()\n"
        "def forever():\n"
        "    for verdict in score_many(itertools.repeat(('Witness', 'x', None))):\n"
        "        started.set()\n"
        "threading.Thread(target=work, args=(4,)).start()\n"
        "threading.Thread(target=forever, daemon=True).start()\n"
        "started.wait()\n"
    )
    done = script(code, environment)
    assert (done.returncode, done.stdout) == (0, "4.0\n")


def test_ctrl_c_ends_the_workers(environment: dict[str, str], tmp_path: Path) -> None:
    """SIGINT while a verdict is awaited raises KeyboardInterrupt in the script, and the busy worker is gone."""
    note = tmp_path / "note"
    code = f"from bootcamp_cli.verdicts import score; score('Witness', 'note', {str(note)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)
    anyio.run(until, lambda: note.exists() and note.read_text().endswith("\n"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert gone({int(note.read_text())})


def _process_state() -> dict[str, Any]:
    """What the process has of handlers, hooks, limits and places."""
    return {
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.get_debug()),
        "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")],
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook, sys.get_asyncgen_hooks()),
        "traces": (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        "places": (Path.cwd(), list(sys.path), dict(os.environ), sys.getrecursionlimit()),
    }


def test_the_calling_process_stays_as_it_is(witness: str) -> None:
    """Neither while verdicts come nor afterwards is a handler, limit, hook or directory another than before."""
    before = _process_state()
    for _ in score_many([(witness, "x", None)] * 3):
        assert _process_state() == before
    assert _process_state() == before


@pytest.mark.parametrize(
    ("item", "what"),
    [
        (("Sums", "4"), "item 2 to score is not a tuple of 3 or 4"),
        ("Sums", "item 2 to score is not a tuple of 3 or 4"),
        (("Sums", None, 4), "item 2 to score: output is of type NoneType, not text"),
        ((1, "4", 4), "item 2 to score: data_source is of type int, not text"),
        (("Sums", "4", 4, b"x"), "item 2 to score: reasoning is of type bytes, not text"),
    ],
)
def test_what_is_no_item_is_named(item: Any, what: str) -> None:
    """An item of another form is a UsageError that says which one and what is wrong."""
    with pytest.raises(UsageError, match=what):
        list(score_many([(LADDER, "[[3]]", TRUTH), item]))


def test_settings_are_checked_before_anything_starts(tmp_path: Path) -> None:
    """A bootcamps_path without the package is refused at once, not at the first verdict."""
    with pytest.raises(SettingsError, match="no package internbootcamp"):
        score_many([], settings=Settings(bootcamps_path=tmp_path))
