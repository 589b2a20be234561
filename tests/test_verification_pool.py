"""Verdicts come from killable workers, each for its own sample, whatever verifiers do."""

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from bootcamp_cli.types import BootcampRef, Verdict
from bootcamp_cli.verification.pool import VerifierPool
from tests.bootcamps_builder import ECHO, in_pool, is_running, until, verify_all, write_bootcamp

NEEDS_MEMORY_LIMIT = pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit the address space")
NEEDS_WAITID = pytest.mark.skipif(not hasattr(os, "waitid"), reason="macOS cannot ask for children without reaping")

PID = "import os\ndef extract_output(output): return os.getpid()\ndef check(solution, ground_truth): return True\n"
WRITE_EVERYWHERE = "for fd in range(3, 100):\n    try: os.write(fd, b'{}\\n')\n    except OSError: pass"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the module search path, also on that of the workers."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def checking(body: str, head: str = "") -> str:
    """A module whose check has this body and whose extraction is the output."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{head}\ndef extract_output(output): return output\ndef check(solution, ground_truth):\n{lines}\n"


def pid_of(verdict: Verdict) -> int:
    """The process id that a PID bootcamp extracted."""
    assert type(verdict.extracted) is int
    return verdict.extracted


def test_verdicts_belong_to_their_samples(site: Path) -> None:
    """Of hundreds of calls at once, some cancelled and some killing their worker, each gets its own verdict."""
    source = "import os\ndef extract_output(output): return output\ndef check(solution, truth):\n"
    source += "    if solution.startswith('die'): os._exit(1)\n    return truth\n"
    ref = write_bootcamp(site, "mixed", source)
    seeded = random.Random(7)  # noqa: S311 - no secret
    outputs = [f"{'die' if seeded.random() < 0.02 else 'live'} {number}" for number in range(500)]
    verdicts: dict[int, Verdict] = {}

    async def work(pool: VerifierPool) -> None:
        async def one(number: int, patience: int) -> None:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:

                    async def give_up() -> None:
                        for _ in range(patience):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()

                    if patience:
                        tasks.start_soon(give_up)
                    verdicts[number] = await pool.verify(ref, outputs[number], number / 4)
                    tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for number in range(500):
                tasks.start_soon(one, number, seeded.choice([0, 0, 1, 5, 50]))

    in_pool(work, workers=3)
    assert len(verdicts) >= 200
    for number, verdict in verdicts.items():
        if outputs[number].startswith("die"):
            assert verdict.failure == "verifier_crash"
        else:
            assert verdict == Verdict(score=number / 4, extracted=outputs[number])


def test_hanging_sample_alone_times_out(site: Path) -> None:
    """A verifier that never returns costs its own sample the verdict; those batched behind it are verified."""
    ref = write_bootcamp(site, "hang", checking("while solution == 'hang': pass\nreturn True"))
    outputs = ["a", "hang", *(str(number) for number in range(40))]
    verdicts = verify_all([(ref, output, None) for output in outputs], timeout_s=1)
    assert [verdict.failure for verdict in verdicts] == [None, "verifier_timeout", *[None] * 40]
    assert verdicts[1].error == "no verdict within 1 s"


def test_code_that_ignores_signals_is_killed(site: Path) -> None:
    """Neither ignored signals nor an expression that holds the interpreter in C keep a worker alive."""
    head = "import re, signal\nfor number in (2, 14, 15): signal.signal(number, signal.SIG_IGN)"
    ref = write_bootcamp(site, "stuck", checking("return re.match('(a+)+$', 'a' * 60 + 'b') is None", head))
    assert [verdict.failure for verdict in verify_all([(ref, "x", None)], timeout_s=0.3)] == ["verifier_timeout"]


def test_waiting_and_importing_do_not_count(site: Path) -> None:
    """The time limit starts when the worker begins the sample: neither queue, start nor import are part of it."""
    slow_import = write_bootcamp(site, "slow_import", "import time\ntime.sleep(2.2)\n" + ECHO)
    slow = write_bootcamp(site, "slow", checking("time.sleep(0.3)\nreturn True", "import time"))
    samples = [(slow_import, "x", None), *[(slow, str(number), None) for number in range(7)]]
    verdicts = verify_all(samples, workers=1, timeout_s=2)
    assert [verdict.score for verdict in verdicts] == [1.0] * 8


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        pytest.param("blocks = []\nwhile True: blocks.append(b'x' * 2**20)", "memory", marks=NEEDS_MEMORY_LIMIT),
        ("return len(bytearray(2**50))", "memory"),
        ("os.closerange(3, 100)\nreturn True", "closed its channel|exited with code"),
        (WRITE_EVERYWHERE.format('["verdict", 1, 1.0, null, null, null, false]'), "out of order"),
        (WRITE_EVERYWHERE.format("nonsense"), "disturbed"),
    ],
)
def test_crashing_sample_alone_crashes(site: Path, body: str, words: str) -> None:
    """A verifier that ends, exhausts or disturbs its worker is a verifier_crash; the samples around it are verified."""
    lines = "".join(f"\n    {line}" for line in body.splitlines())
    ref = write_bootcamp(site, "crash", checking(f"if solution == 'crash':{lines}\nreturn True", "import os, sys"))
    verdicts = verify_all([(ref, output, None) for output in ("a", "crash", "b", "c")], memory_mib=256)
    assert [verdicts[number].score for number in (0, 2, 3)] == [1.0] * 3
    assert verdicts[1].failure == "verifier_crash"
    assert any(word in str(verdicts[1].error) for word in words.split("|"))


def test_printing_and_files_do_no_harm(site: Path) -> None:
    """Megabytes on both standard streams, reading of standard input and files in the working directory go nowhere."""
    body = (
        "print('x' * 5_000_000); os.write(2, b'x' * 5_000_000); print(solution, file=sys.stderr, flush=True)\n"
        "open('json.py', 'w').write('raise SystemExit')\n"
        "private = os.listdir() == ['json.py'] and os.path.samefile(os.environ['TMPDIR'], os.getcwd())\n"
        "return private and sys.stdin.read() == ''"
    )
    ref = write_bootcamp(site, "printing", checking(body, "import os, sys"))
    before = set(Path.cwd().iterdir())
    assert [verdict.score for verdict in verify_all([(ref, "a", None), (ref, "b", None)])] == [1.0, 1.0]
    assert set(Path.cwd().iterdir()) == before


def test_ground_truth_is_a_copy_for_every_sample(site: Path) -> None:
    """What a verifier does to its ground truth changes neither the caller's nor the next sample's."""
    ref = write_bootcamp(site, "mutating", checking("return bool(ground_truth['a'].pop())"))
    truth = {"a": [1]}
    verdicts = verify_all([(ref, "x", truth), (ref, "y", truth)])
    assert [verdict.score for verdict in verdicts] == [1.0, 1.0]
    assert truth == {"a": [1]}


def test_forks_do_not_answer(site: Path) -> None:
    """A verifier that forks and returns in both processes gives one verdict, its parent's."""
    ref = write_bootcamp(site, "forking", checking("child = os.fork()\nreturn 1.0 if child else 0.0", "import os"))
    verdicts = verify_all([(ref, str(number), None) for number in range(20)])
    assert [(verdict.score, verdict.extracted) for verdict in verdicts] == [(1.0, str(number)) for number in range(20)]


@pytest.mark.parametrize("leaving", ["os.chdir('/')", "shutil.rmtree(os.getcwd())"])
def test_the_next_sample_finds_its_directory(site: Path, leaving: str) -> None:
    """A third-party verifier that goes elsewhere, or removes its directory, leaves the next sample one to write in."""
    body = f"open('note', 'x').close()\nos.remove('note')\n{leaving}\nreturn True"
    ref = write_bootcamp(site, "leaver", checking(body, "import os, shutil"))
    third_party = BootcampRef(data_source="leaver", origin="entry_point", target=ref.target)
    assert [verdict.score for verdict in verify_all([(third_party, "x", None)] * 3)] == [1.0] * 3


@pytest.mark.parametrize(
    ("leak", "n_workers"),
    [
        pytest.param("if os.fork() == 0: time.sleep(1000)", 3, marks=NEEDS_WAITID),
        ("for _ in range(9): threading.Thread(target=time.sleep, args=[1000]).start()", 3),
        ("threading.Thread(target=time.sleep, args=[1000]).start()", 1),
    ],
)
def test_leaks_do_not_pile_up(site: Path, leak: str, n_workers: int) -> None:
    """A third-party verifier that leaves children or many threads behind gets a new worker for the next sample."""
    source = checking(f"{leak}\nreturn True", "import os, threading, time").replace(
        "return output", "return os.getpid()"
    )
    ref = write_bootcamp(site, "leaking", source)
    third_party = BootcampRef(data_source="leaking", origin="entry_point", target=ref.target)
    verdicts = verify_all([(third_party, "x", None)] * 3)
    assert [verdict.score for verdict in verdicts] == [1.0] * 3
    assert len({pid_of(verdict) for verdict in verdicts}) == n_workers


def test_nothing_is_left_behind(site: Path) -> None:
    """After the pool closes neither workers nor the children of verifiers run, and the directories are gone."""
    body = "child = os.fork()\nif child == 0: time.sleep(1000)\nreturn True"
    forking = write_bootcamp(
        site, "leaving", checking(body, "import os, time").replace("return output", "return os.getcwd()")
    )
    children = write_bootcamp(
        site, "children", "import subprocess\ndef extract_output(output):\n"
        "    return [subprocess.Popen(['sleep', '1000']).pid, __import__('os').getpid()]\n"
        "def check(solution, truth): return True\n"
    )  # fmt: skip
    left: list[Any] = [verdict.extracted for verdict in verify_all([(forking, "x", None), (children, "x", None)])]
    assert not Path(left[0]).exists()
    assert not Path(left[0]).parent.exists()
    anyio.run(until, lambda: not any(is_running(pid) for pid in left[1]))


def test_worker_killed_from_outside(site: Path) -> None:
    """An idle worker that was killed is replaced unnoticed; a sample whose worker is killed gets verifier_crash."""
    idle = write_bootcamp(site, "pid", PID)
    busy = write_bootcamp(
        site, "busy", checking("open(ground_truth, 'w').write(str(os.getpid()))\ntime.sleep(1000)", "import os, time")
    )
    note = site / "note"

    async def work(pool: VerifierPool) -> None:
        pid = pid_of(await pool.verify(idle, "x", None))
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not is_running(pid))
        second = await pool.verify(idle, "x", None)
        assert second.score == 1.0
        assert pid_of(second) != pid
        verdicts: list[Verdict] = []

        async def one() -> None:
            verdicts.append(await pool.verify(busy, "x", str(note)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await until(lambda: note.exists() and note.read_text() != "")
            os.kill(int(note.read_text()), signal.SIGKILL)
        assert verdicts[0].failure == "verifier_crash"
        assert "SIGKILL" in str(verdicts[0].error)

    in_pool(work, timeout_s=60)


def test_abandoned_samples_do_not_shift_verdicts(site: Path) -> None:
    """A call cancelled while its sample is being verified leaves its verdict to nobody, and the worker in step."""
    ref = write_bootcamp(site, "slowly", checking("time.sleep(0.05)\nreturn True", "import time"))

    async def work(pool: VerifierPool) -> list[Any]:
        await pool.verify(ref, "warm", None)
        for number in range(5):
            with anyio.move_on_after(0.01):
                await pool.verify(ref, f"abandoned {number}", None)
        return [(await pool.verify(ref, f"kept {number}", None)).extracted for number in range(3)]

    assert in_pool(work) == ["kept 0", "kept 1", "kept 2"]


def test_no_secret_in_the_workers(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys of any name nor settings of the tool reach a worker, not on its command line either."""
    for name in ("BOOTCAMP_API_KEY", "OPENAI_API_KEY", "MY_TOKEN", "BOOTCAMP_HEADERS", "OPENAI_BASE_URL", "AWS_SECRET"):
        monkeypatch.setenv(name, "MARKED-SECRET")
    monkeypatch.setenv("LC_TIME", "C")
    ref = write_bootcamp(
        site, "spying", "import os, sys\ndef extract_output(output): return [dict(os.environ), sys.orig_argv]\n"
        "def check(solution, truth): return True\n"
    )  # fmt: skip
    environment, command = verify_all([(ref, "x", None)])[0].extracted
    assert "MARKED-SECRET" not in repr(environment) + repr(command)
    assert not [name for name in environment if name.startswith(("BOOTCAMP_", "OPENAI_"))]
    assert environment["LC_TIME"] == "C"
    assert environment["PATH"] == os.environ["PATH"]


def test_interrupt_does_not_reach_the_workers(site: Path) -> None:
    """Workers live in sessions of their own and ignore SIGINT: Ctrl-C ends no verification."""
    ref = write_bootcamp(site, "session", checking("os.kill(0, 2)\nreturn os.getsid(0) == os.getpid()", "import os"))
    assert verify_all([(ref, "x", None)])[0].score == 1.0


def test_text_of_sets_is_the_same_in_every_worker(site: Path) -> None:
    """The str() of a set of words does not depend on the process that made it."""
    ref = write_bootcamp(site, "sets", ECHO.replace("return output", "return set(output.split())"))
    words = " ".join(f"word{number}" for number in range(30))
    assert verify_all([(ref, words, None)]) == verify_all([(ref, words, None)])


def test_failing_import(site: Path) -> None:
    """A module that cannot be imported, or wants to exit, is a verifier_error that names module and reason."""
    missing = BootcampRef(data_source="Gone", origin="builtin", target="gone_module")
    broken = write_bootcamp(site, "broken", "raise SystemExit(5)")
    verdicts = verify_all([(missing, "x", None), (broken, "x", None), (missing, "y", None)])
    assert [verdict.failure for verdict in verdicts] == ["verifier_error"] * 3
    assert verdicts[0].error == "cannot import gone_module: ModuleNotFoundError: No module named 'gone_module'"
    assert verdicts[1].error == "cannot import broken: SystemExit: 5"


def test_import_that_costs_workers_is_given_up(site: Path) -> None:
    """A bootcamp whose import kills its worker twice fails for all its samples at once; others go on."""
    note = site / "note"
    deadly = write_bootcamp(site, "deadly", f"import os\nopen({str(note)!r}, 'a').write('x')\nos._exit(7)\n")
    echo = write_bootcamp(site, "echo", ECHO)
    samples = [(deadly, str(number), None) for number in range(50)] + [(echo, "x", None)]
    verdicts = verify_all(samples)
    assert {verdict.failure for verdict in verdicts[:50]} == {"verifier_crash"}
    assert verdicts[0].error == "importing deadlybootcamp: the worker exited with code 7"
    assert verdicts[50].score == 1.0
    assert note.read_text() == "xx"


def test_import_that_hangs(site: Path) -> None:
    """An import that never ends is stopped by its own limit."""
    ref = write_bootcamp(site, "endless", "import time\ntime.sleep(1000)\n")
    verdict = verify_all([(ref, "x", None)], load_limit_s=0.3)[0]
    assert (verdict.failure, verdict.error) == ("verifier_timeout", "importing endlessbootcamp took over 0.3 s")


def test_workers_that_cannot_start(site: Path) -> None:
    """A broken installation fails the samples with Python's own words instead of starting workers for ever."""
    ref = write_bootcamp(site, "echo", ECHO)
    verdicts = verify_all([(ref, "x", None)] * 3, environ={"PYTHONHOME": "/nonexistent"})
    assert {verdict.failure for verdict in verdicts} == {"verifier_crash"}
    assert "did not start: Fatal Python error" in str(verdicts[0].error)


def test_start_has_its_limit(site: Path) -> None:
    """A worker that does not get ready is given up, and the samples say so."""
    ref = write_bootcamp(site, "echo", ECHO)
    verdict = verify_all([(ref, "x", None)], start_limit_s=0)[0]
    assert (verdict.failure, verdict.error) == ("verifier_crash", "the worker did not start within 0 s")


def test_workers_start_as_load_needs(site: Path) -> None:
    """One sample at a time needs one worker; many that take long are spread over all, and no more."""
    pid = write_bootcamp(site, "pid", PID)
    slow = write_bootcamp(
        site, "slow_pid", "import time\n" + PID.replace("return True", "return time.sleep(0.2) is None")
    )

    async def one_by_one(pool: VerifierPool) -> set[int]:
        return {pid_of(await pool.verify(pid, "x", None)) for _ in range(10)}

    assert len(in_pool(one_by_one, workers=4)) == 1
    third_party = BootcampRef(data_source="slow", origin="entry_point", target="slow_pid")
    assert slow.target == third_party.target
    assert len({pid_of(verdict) for verdict in verify_all([(third_party, "x", None)] * 12, workers=3)}) == 3


def test_a_sample_that_takes_long_holds_up_no_other(site: Path) -> None:
    """A single quick sample that waits behind it gets a worker of its own."""
    wait = checking(
        "(directory / 'begun').touch()\nwhile not (directory / 'told').exists():\n    time.sleep(0.01)\nreturn True",
        f"import pathlib, time\ndirectory = pathlib.Path({str(site)!r})",
    )
    waiting = write_bootcamp(site, "waiting", wait)
    telling = write_bootcamp(site, "telling", wait.replace("(directory / 'begun')", "(directory / 'told')"))

    async def work(pool: VerifierPool) -> list[Verdict]:
        verdicts: list[Verdict] = []

        async def one(ref: BootcampRef) -> None:
            verdicts.append(await pool.verify(ref, ref.data_source, None))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, waiting)
            await until((site / "begun").exists)
            tasks.start_soon(one, telling)
        return verdicts

    assert {verdict.extracted: verdict.score for verdict in in_pool(work, workers=2)} == {"waiting": 1, "telling": 1}


def test_large_outputs_and_extractions(site: Path) -> None:
    """Megabytes pass both ways, whatever the characters; what is extracted is cut at 1 MiB."""
    ref = write_bootcamp(site, "echo", ECHO)
    outputs = ["汉字 \ud800 \x00\n" * 100_000, "é" * 3_000_000, "short"]
    verdicts = verify_all([(ref, output, None) for output in outputs])
    assert verdicts[0].extracted == outputs[0]
    assert verdicts[1].extracted.endswith("... (3000000 characters)")
    assert verdicts[2].extracted == "short"


def test_ground_truth_that_cannot_be_sent(site: Path) -> None:
    """A ground truth that JSON cannot hold is a verifier_error of its sample."""
    ref = write_bootcamp(site, "echo", ECHO)
    verdict = verify_all([(ref, "x", 1j)])[0]
    assert verdict.failure == "verifier_error"
    assert "cannot be sent" in str(verdict.error)


def test_closed_pool_refuses(site: Path) -> None:
    """A closed pool verifies nothing, and a call that waits when it closes is told so."""
    hanging = write_bootcamp(site, "hanging", checking("while True: pass"))
    told: list[str] = []

    async def wait(pool: VerifierPool) -> None:
        try:
            await pool.verify(hanging, "x", None)
        except anyio.ClosedResourceError:
            told.append("closed")

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            async with VerifierPool(workers=1, timeout_s=60, memory_mib=1024) as pool:
                tasks.start_soon(wait, pool)
                await anyio.wait_all_tasks_blocked()
            await wait(pool)

    anyio.run(run)
    assert told == ["closed", "closed"]


def test_error_of_the_body_stays_as_it_is(site: Path) -> None:
    """What is raised inside the pool's block comes out as raised, in no exception group."""
    ref = write_bootcamp(site, "echo", ECHO)

    async def work(pool: VerifierPool) -> None:
        await pool.verify(ref, "x", None)
        raise LookupError("own")

    with pytest.raises(LookupError, match="own"):
        in_pool(work)


def test_cancelling_the_block_ends_the_workers(site: Path) -> None:
    """When the block is cancelled the workers are killed and waited for."""
    ref = write_bootcamp(site, "pid", PID)
    pids: list[int] = []

    async def run() -> None:
        with anyio.CancelScope() as scope:
            async with VerifierPool(workers=1, timeout_s=60, memory_mib=1024) as pool:
                pids.append(pid_of(await pool.verify(ref, "x", None)))
                scope.cancel()
                await anyio.sleep_forever()

    anyio.run(run)
    assert not is_running(pids[0])


def test_loop_is_not_blocked(site: Path) -> None:
    """Starting, verifying, killing and closing make no blocking call on the event loop."""
    ref = write_bootcamp(site, "crash", checking("if solution == 'crash': os._exit(1)\nreturn True", "import os"))

    async def work(pool: VerifierPool) -> list[float | None]:
        return [(await pool.verify(ref, output, None)).score for output in ("a", "crash", "b")]

    assert in_pool(work) == [1.0, None, 1.0]
