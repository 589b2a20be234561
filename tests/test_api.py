"""The public functions: what the commands do, without a command line."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

import bootcamp_cli
from bootcamp_cli import Settings, StopRequest, api, evaluate, evaluate_async, open_run
from bootcamp_cli.errors import (
    InterruptedRunError,
    RunDirectoryError,
    ServerUnavailableError,
    SettingsError,
    UsageError,
)
from bootcamp_cli.events import Event, Noted, RunEnded, RunStarted, SampleRecorded, Warned
from tests.conftest import FaultServerProcess, StartFaultServer


def settings_for(server: FaultServerProcess, test_dir: Path, tmp_path: Path, **values: Any) -> Settings:
    """Settings of an evaluation against a server."""
    given: dict[str, Any] = {
        "url": server.url,
        "test_dir": test_dir,
        "max_tokens": 4000,
        "output_dir": tmp_path / "output",
    }
    return Settings(**(given | values))


def test_an_evaluation_prints_nothing_and_gives_its_run(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` tells what happens as events, returns the run, and prints not a word."""
    events: list[Event] = []
    run = evaluate(settings_for(fault_server(test_dir=demo_test_dir), demo_test_dir, tmp_path), events.append)
    assert run.summary.complete
    assert run.path.parent == tmp_path / "output"
    assert run.scores.is_file()
    assert (run.path / "meta.jsonl").is_file()
    assert (run.path / "progress.log").is_file()
    kinds = [type(event) for event in events]
    assert kinds.index(RunStarted) < kinds.index(RunEnded)
    assert kinds.count(SampleRecorded) == run.summary.n_samples == 112
    assert any("using model demo" in event.message for event in events if isinstance(event, Noted))
    assert not [event for event in events if isinstance(event, Warned)]
    again = open_run(run.path)
    again.write_reports()
    assert again.summary == run.summary
    assert capfd.readouterr() == ("", "")


def test_max_tokens_that_follow_from_the_context(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """With max_tokens auto the identity holds the word and each record the number sent, also in a resumed run."""
    values = {"max_tokens": "auto", "limit": 1}
    server = fault_server(test_dir=demo_test_dir, max_model_len=4000)
    run = evaluate(settings_for(server, demo_test_dir, tmp_path, **values)).resume(repeats=2)
    assert run.summary.complete
    assert json.loads((run.path / "manifest.json").read_text("utf-8"))["identity"]["max_tokens"] == "auto"
    lines = [line for file in (run.path / "details").iterdir() for line in file.read_text("utf-8").splitlines()]
    assert len(lines) == run.summary.n_samples
    assert all(0 < json.loads(line)["max_tokens"] < 4000 for line in lines)
    silent = fault_server(test_dir=demo_test_dir)
    with pytest.raises(SettingsError, match="auto needs the context length"):
        evaluate(settings_for(silent, demo_test_dir, tmp_path, **values))
    with pytest.raises(SettingsError, match="auto needs the context length"):
        evaluate(settings_for(server, demo_test_dir, tmp_path, **values, check_model_url=False, model_name="demo"))


def test_a_run_is_resumed_rescored_and_reported(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A run is extended with the key that it was started with, rescored, and its samples and failures are frames."""
    server = fault_server(test_dir=demo_test_dir, api_key="a-key-of-the-test", faults=["400:0.1:attempts=1"])
    first = evaluate(settings_for(server, demo_test_dir, tmp_path, api_key="a-key-of-the-test", max_retries=0))
    n_failed = first.summary.n_failed
    assert n_failed
    assert list(first.failures()["kind"]) == ["http_400"] * n_failed
    run = first.resume(repeats=2)
    assert (run.path, run.summary.n_samples, run.summary.complete) == (first.path, 224, True)
    frame = run.samples()
    assert len(frame) == 224
    assert frame.groupby(["file", "row"], observed=True)["repeat"].nunique().eq(2).all()
    assert frame["score"].mean() == pytest.approx(run.summary.weighted_score)
    rescored = run.rescore()
    assert (rescored.n_verified, rescored.changes) == (224, [])
    assert rescored.verifiers["Sudoku"].origin == "builtin"


def test_settings_take_what_the_command_line_takes(tmp_path: Path) -> None:
    """Texts are converted as on the command line, numbers of durations are seconds, and what is wrong is named."""
    settings = Settings(
        timeout="90s",  # type: ignore[arg-type] # as a user writes it
        wait=5,
        test_dir=str(tmp_path),  # type: ignore[arg-type]
        api_key="a-key",  # type: ignore[arg-type]
        stop=["a"],  # type: ignore[arg-type]
    )
    assert (settings.timeout, settings.wait, settings.test_dir, settings.stop) == (90.0, 5.0, tmp_path, ("a",))
    assert "a-key" not in repr(settings)
    assert "wait=5," in repr(settings)
    assert "timeout=90," in repr(settings), "in seconds, as a number is read"
    for wrong, said in (
        ({"max_tokens": 0}, "Settings: max_tokens: must be at least 1, got 0"),
        ({"timeout": -1}, "Settings: timeout: must be more than 0s, got -1"),
        ({"api_mode": "chat"}, "Settings: api_mode: must be one of completion, chat_completion, got 'chat'"),
        ({"temperature": None}, "Settings: temperature: must be a number, got null"),
    ):
        with pytest.raises(SettingsError) as caught:
            Settings(**wrong)
        assert caught.value.message == said


def test_an_interrupted_script_loses_nothing(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """Ctrl-C in a script raises KeyboardInterrupt there; what was answered is kept, and the run is resumed."""
    server = fault_server(test_dir=demo_test_dir, latency=0.2)
    code = f"""if True:
        import os, signal, sys
        from bootcamp_cli import Settings, evaluate
        from bootcamp_cli.events import SampleRecorded
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        def on_event(event):
            if isinstance(event, SampleRecorded):
                os.kill(os.getpid(), signal.SIGINT)
        try:
            evaluate(Settings(url={server.url!r}, test_dir={str(demo_test_dir)!r}, max_concurrent_requests=8), on_event)
        except KeyboardInterrupt:
            print("interrupted")
        assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=clean_environment,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("interrupted\n", 0), done.stderr
    [path] = (tmp_path / "output").iterdir()
    run = open_run(path)
    n_kept = run.summary.n_answered
    assert 0 < n_kept < 112
    assert run.resume().summary.complete
    assert server.stats()["received"] <= 112 + 2 * 8


def test_nothing_of_the_process_is_changed(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """While evaluations run, in a thread or the main one, handlers, collector, limits and hooks are those of before."""
    server = fault_server(test_dir=demo_test_dir, faults=["500:0.2"])
    code = f"""if True:
        import gc, resource, signal, sys, threading
        from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks
        from bootcamp_cli import Settings, evaluate
        set_on_retry_hooks([])  # as an application may
        def state():
            return (
                [signal.getsignal(number) for number in range(1, 32)],
                gc.get_threshold(), gc.get_freeze_count(), gc.isenabled(),
                [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")],
                get_on_retry_hooks(), sys.excepthook, threading.excepthook, sys.unraisablehook,
                sys.getrecursionlimit(), sys.gettrace(), sys.getswitchinterval(),
            )
        before, seen = state(), []
        settings = Settings(url={server.url!r}, test_dir={str(demo_test_dir)!r}, max_retrying_delay=0.1)
        runs = []
        look = lambda _: seen.append(state() == before)
        thread = threading.Thread(target=lambda: runs.append(evaluate(settings, look)))
        thread.start()
        thread.join()
        runs.append(evaluate(settings, look))
        assert [run.summary.complete for run in runs] == [True, True]
        assert len(seen) > 2 * 3 * 112 and all(seen)
        assert state() == before
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment, cwd=tmp_path, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_thread_of_a_web_server_evaluates(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A handler's thread evaluates while the server goes on; another request ends that run early, and resumes it."""
    stop = StopRequest()
    settings = settings_for(
        fault_server(test_dir=demo_test_dir, latency=0.3), demo_test_dir, tmp_path, max_concurrent_requests=4
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/stop":
                stop.request()
                answer = "stopping"
            else:
                try:
                    answer = str(evaluate(settings, stop=stop).summary.n_answered)
                except InterruptedRunError:
                    answer = "interrupted"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web, ThreadPoolExecutor(2) as pool:
        pool.submit(web.serve_forever)
        evaluating = pool.submit(fetched, web.server_port, "/evaluate")
        while not list(tmp_path.glob("output/*/details/*.jsonl")):
            time.sleep(0.01)
        assert fetched(web.server_port, "/stop") == "stopping"
        assert evaluating.result() == "interrupted"
        web.shutdown()
    [path] = (tmp_path / "output").iterdir()
    assert open_run(path).summary.n_answered < 112
    assert open_run(path).resume(max_concurrent_requests=64).summary.complete


def fetched(port: int, path: str) -> str:
    """The body of a reply on loopback."""
    connection = HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.anyio
async def test_a_running_loop_awaits(fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path) -> None:
    """In a running loop `evaluate` says what to use instead, `evaluate_async` runs, and cancelling it loses nothing."""
    server = fault_server(test_dir=demo_test_dir, latency=0.1)
    settings = settings_for(server, demo_test_dir, tmp_path, max_concurrent_requests=8)
    with pytest.raises(UsageError, match=r"use `await evaluate_async\(\.\.\.\)` there"):
        evaluate(settings)
    with anyio.CancelScope() as scope:
        await evaluate_async(settings, lambda event: scope.cancel() if isinstance(event, SampleRecorded) else None)
    assert scope.cancelled_caught
    [path] = (tmp_path / "output").iterdir()
    run = await (await anyio.to_thread.run_sync(open_run, path)).resume_async()
    assert run.summary.complete
    assert server.stats()["received"] <= 112 + 2 * 8


@pytest.mark.anyio
async def test_what_is_cancelled_writes_no_more(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a task that asyncio cancels is over, no thread of the evaluation goes on, not even one that publishes."""
    settings = settings_for(fault_server(test_dir=demo_test_dir), demo_test_dir, tmp_path, include="sudoku")
    publish, steps = api._publish, list[str]()

    def slow_publish(*args: Any) -> Any:
        steps.append("begins")
        loop.call_soon_threadsafe(evaluating.cancel)
        time.sleep(0.2)
        result = publish(*args)
        steps.append("ends")
        return result

    monkeypatch.setattr(api, "_publish", slow_publish)
    loop = asyncio.get_running_loop()
    evaluating = loop.create_task(evaluate_async(settings))
    with pytest.raises(asyncio.CancelledError):
        await evaluating
    assert steps == ["begins", "ends"]


@pytest.mark.anyio
async def test_a_run_without_reports_is_unfinished(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A run that is cancelled after its last sample, before its reports, is one that `resume` finds and finishes."""
    settings = settings_for(fault_server(test_dir=demo_test_dir), demo_test_dir, tmp_path, include="sudoku")
    with anyio.CancelScope() as scope:
        await evaluate_async(settings, lambda event: scope.cancel() if isinstance(event, RunEnded) else None)
    assert scope.cancelled_caught
    run = await anyio.to_thread.run_sync(api.newest_unfinished, tmp_path / "output")
    assert len(await anyio.to_thread.run_sync(run.samples)) == 8
    assert (await run.resume_async()).scores.is_file()
    with pytest.raises(RunDirectoryError, match="no unfinished run"):
        await anyio.to_thread.run_sync(api.newest_unfinished, tmp_path / "output")


def test_errors_come_alone(fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path) -> None:
    """With a way to stop as without, what a user can cause is no group; nor is what `on_event` raises, out of order."""
    server = fault_server(test_dir=demo_test_dir)
    away = settings_for(server, demo_test_dir, tmp_path, url="http://127.0.0.1:9/v1", wait=0)
    with pytest.raises(ServerUnavailableError):
        evaluate(away, stop=StopRequest())

    def raising(event: Event) -> None:
        if isinstance(event, SampleRecorded):
            raise LookupError("of the user's own")  # noqa: TRY004 - the type is as it should be

    with pytest.raises(LookupError, match="of the user's own"):
        evaluate(settings_for(server, demo_test_dir, tmp_path, max_concurrent_requests=8), raising)
    [path] = (tmp_path / "output").iterdir()
    run = open_run(path)
    assert run.summary.n_answered > 0
    assert run.resume().summary.complete
    assert server.stats()["received"] <= 112 + 2 * 8


def test_one_request_stops_several_evaluations(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A request to stop reaches every evaluation that it was given to, and one that begins later."""
    server = fault_server(test_dir=demo_test_dir, latency=60)
    stop, started = StopRequest(), threading.Semaphore(0)

    def evaluated(name: str) -> str:
        settings = settings_for(server, demo_test_dir, tmp_path / name)
        try:
            evaluate(settings, lambda event: started.release() if isinstance(event, RunStarted) else None, stop=stop)
        except InterruptedRunError:
            return "interrupted"
        return "finished"

    with ThreadPoolExecutor() as executor:
        evaluating = [executor.submit(evaluated, name) for name in ("one", "other")]
        for _ in evaluating:
            started.acquire()
        stop.request()
        stop.request()
        assert [future.result(timeout=30) for future in evaluating] == ["interrupted"] * 2
    assert evaluated("late") == "interrupted"


@pytest.mark.anyio
async def test_a_signal_handler_asks_to_stop() -> None:
    """A handler that interrupts the very thread that waits may ask: nothing is missed, and nothing waits for itself."""
    stop = StopRequest()
    asked_while_locked = []

    class Interrupting(set):  # type: ignore[type-arg]
        def add(self, item: object) -> None:
            stop.request()
            asked_while_locked.append(item)
            super().add(item)

    stop._waiting = Interrupting()
    with anyio.fail_after(5):
        await stop.wait()
    assert asked_while_locked


def test_the_example_of_the_readme_runs(
    fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """The example of the README runs word for word, but for where server, data and an older run are."""
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    code = readme.split("## Python API", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "tests").symlink_to(demo_test_dir)
    url = fault_server(test_dir=demo_test_dir, model="r1_32B", by_seed=True).url
    for there, here in (
        ('"http://127.0.0.1:8000/v1"', repr(url)),
        ('"http://127.0.0.1:8001/v1"', repr(url)),
        ('"output/r1_32B_tests_20260101_120000"', "run.path"),
        ("max_tokens=65536", "max_tokens=65536, keep_going=True"),
    ):
        assert there in code
        code = code.replace(there, here)
    code = code.replace("repeats=4)", "repeats=4, max_tokens=80)").replace("  # 1.0", " == 1.0 or exit(1)")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment, cwd=tmp_path, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(list((tmp_path / "output").iterdir())) == 2


def test_a_run_whose_directory_is_gone_says_so(tmp_path: Path) -> None:
    """What a run directory held is not read as nothing once it is gone."""
    (tmp_path / "run" / "details").mkdir(parents=True)
    run = open_run(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    for read in (run.samples, run.failures, run.write_reports, run.rescore, run.resume, lambda: run.summary):
        with pytest.raises(RunDirectoryError, match="no such run directory"):
            read()


def test_the_front_page() -> None:
    """Every name of the front page is there, has a docstring, and none is loaded before it is used."""
    names = [name for name in bootcamp_cli.__all__ if name != "__version__"]
    assert [name for name in names if not getattr(bootcamp_cli, name).__doc__] == []
    assert set(bootcamp_cli.__all__) <= set(dir(bootcamp_cli))
    code = "import sys, bootcamp_cli; print([name for name in sys.modules if name.startswith('bootcamp_cli.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = bootcamp_cli.absent


def test_the_api_loads_no_more_than_is_asked_for() -> None:
    """To look up settings and templates neither the engine nor an event loop is loaded."""
    code = (
        "import sys; from pathlib import Path; from bootcamp_cli import api\n"
        "api.list_templates(api.read_settings(api.Sources(flags={}, env={}, cwd=Path.cwd())))\n"
        "print({'typer', 'rich', 'anyio', 'asyncio', 'bootcamp_cli.engine.run'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
