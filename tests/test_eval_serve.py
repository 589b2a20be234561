"""`--serve`: a server of one's own, which is started, waited for, started again, and ended with the run."""

import json
import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from bootcamp_cli import Settings, StopRequest, evaluate
from bootcamp_cli.errors import InterruptedRunError, ServerEndedError, ServerUnavailableError, SettingsError
from bootcamp_cli.events import Event, RunPaused, RunResumed, SampleRecorded
from bootcamp_cli.server import own_server
from tests.conftest import RunBootcamp, StartBootcamp, WriteRows
from tests.own_server import is_alive, wait_until_gone
from tests.test_eval_interrupted import wait_for_records
from tests.test_eval_run_directory import records, run_dir_of

SCRIPT = Path(__file__).with_name("own_server.py")
KEY = "sk-marked-key-0123456789"
ENDED = "the server ended with exit code 3; it is started again"
_PATIENCE_S = 30


def command(*options: str | Path | float, port: str = "{port}") -> str:
    """The command of the server, with options."""
    return shlex.join([sys.executable, str(SCRIPT), "PORT", *map(str, options)]).replace("PORT", port)


def eval_words(serve: str, test_dir: Path, *more: str | Path) -> list[str]:
    """An evaluation with a server of its own and few slots."""
    words = ["eval", "--serve", serve, "--test-dir", str(test_dir), "--output-dir", "out"]
    return [*words, "--max-concurrent-requests", "4", "--bos", "keep", "--verify-workers", "1", *map(str, more)]


def wait_for_lines(path: Path, n: int, process: "Popen[str] | None" = None) -> list[str]:
    """Wait until a file has so many lines."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= n:
            return lines
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def questions(write_rows: WriteRows, tmp_path: Path) -> Path:
    """A test dir of 24 questions."""
    truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
    rows = [{"data_source": "KorPuzzleWordLadder", "prompt": f"Word {n}?", "ground_truth": truth} for n in range(24)]
    return write_rows(tmp_path / "questions" / "ladders.jsonl", rows).parent


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start again without delay, where the tool runs in this process."""
    monkeypatch.setattr(own_server, "_FIRST_DELAY_S", 0.01)


def settings_for(serve: str, test_dir: Path, tmp_path: Path, **values: Any) -> Settings:
    """Settings of an evaluation with a server of its own."""
    given: dict[str, Any] = {
        "serve": serve,
        "test_dir": test_dir,
        "output_dir": tmp_path / "out",
        "max_concurrent_requests": 4,
        "bos": "keep",
        "verify_workers": 1,
        "wait": 60,
    }
    return Settings(**(given | values))


def test_a_server_that_crashes_twice(questions: Path, tmp_path: Path) -> None:
    """It is started again each time, said aloud; no sample is lost or asked for twice needlessly, no retry is spent."""
    count, events = tmp_path / "count", list[Event]()
    serve = command("--count", count, "--die-at", 8, 19, "--api-key", KEY)
    run = evaluate(settings_for(serve, questions, tmp_path, max_retries=0, api_key=KEY), events.append)
    assert run.summary.complete
    samples = run.samples(["row", "output", "attempts"])
    assert sorted(samples["row"]) == list(range(24))
    assert set(samples["output"]) == {"word"}
    assert set(samples["attempts"]) == {1}
    assert not (run.path / "failures.jsonl").exists()
    pauses = [event.reason for event in events if isinstance(event, RunPaused)]
    log = run.path / "server.log"
    assert [reason.partition(" in ")[0] for reason in pauses] == [ENDED, ENDED]
    assert all(str(log) in reason for reason in pauses)
    assert [f"({n} of 5)" in reason for n, reason in enumerate(pauses, 1)] == [True, True]
    assert sum(isinstance(event, RunResumed) for event in events) == 2
    assert count.read_bytes().count(b"\n") <= 24 + 2 * 4, "only what was in flight is asked for again"
    text = log.read_text()
    assert text.count("CUDA error") == 2
    assert text.count("starting the server") == 3
    args = json.loads((run.path / "eval_args.json").read_text())
    assert args["serve"] == serve.replace(KEY, "***")
    assert args["url"].startswith("http://127.0.0.1:")
    assert not list((tmp_path / "out").glob("server_*")), "the log is in the run directory"
    for path in run.path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_a_server_that_crashes_again_and_again(questions: Path, tmp_path: Path) -> None:
    """After five starts in a row the run stops with the last lines of the log, and what was answered is kept."""
    count = tmp_path / "count"
    serve = command("--count", count, "--die-at", *range(6, 100))
    with pytest.raises(ServerEndedError) as caught:
        evaluate(settings_for(serve, questions, tmp_path))
    assert "ended with exit code 3, for the 6th time in a row" in caught.value.message
    assert caught.value.problems[-1] == "CUDA error: out of memory"
    run_dir = run_dir_of(tmp_path / "out")
    assert f"`bootcamp resume {run_dir}` and the same --serve" in str(caught.value)
    assert str(run_dir / "server.log") in str(caught.value)
    n_kept = sum(len(lines) for lines in records(run_dir).values())
    assert 1 <= n_kept <= 5


def test_what_a_server_gets(run_bootcamp: RunBootcamp, questions: Path, tmp_path: Path) -> None:
    """Its environment is that of the user without our settings; stdin is empty, no terminal is its own."""
    env = {"BOOTCAMP_API_KEY": KEY, "OPENAI_API_KEY": "sk-of-a-gateway", "CUDA_VISIBLE_DEVICES": "3"}
    words = eval_words(command("--environment", tmp_path / "environment"), questions, "--limit", "1")
    done = run_bootcamp(*words, env=env)
    assert done.returncode == 0, done.stderr
    got = json.loads((tmp_path / "environment").read_text())
    assert {name: got.get(name) for name in env} == env | {"BOOTCAMP_API_KEY": None}
    assert "starting the server for http://127.0.0.1:" in done.stderr
    assert "its log is" in done.stderr
    assert KEY not in done.stderr + done.stdout


def test_a_server_that_loads(questions: Path, tmp_path: Path) -> None:
    """A port that opens late and a /health of 503 are waited for, and asked more often than `poll_interval`."""
    notes: list[str] = []
    serve = command("--loading", 0.5, "--unready", 2)
    run = evaluate(
        settings_for(serve, questions, tmp_path, limit=2, max_retries=0),
        lambda event: notes.append(getattr(event, "message", "")),
    )
    assert run.summary.complete
    assert not [note for note in notes if "not ready" in note]


@pytest.mark.parametrize(
    ("code", "said", "problems"),
    [
        (
            "import sys; sys.exit('no such \\x1b[1mmodel')",
            "ended with exit code 1 before it answered",
            ["no such model"],
        ),
        ("pass", "the command must stay in the foreground", []),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL", []),
        (f"import sys; sys.exit('{KEY}')", "exit code 1", ["***"]),
    ],
)
def test_a_server_that_dies_before_it_answers(
    code: str, said: str, problems: list[str], questions: Path, tmp_path: Path
) -> None:
    """The run does not begin; the error has the last lines of the log, which stays beside the run directories."""
    serve = shlex.join([sys.executable, "-c", code, "{port}"])
    with pytest.raises(ServerEndedError) as caught:
        evaluate(settings_for(serve, questions, tmp_path, api_key=KEY))
    assert said in str(caught.value)
    assert list(caught.value.problems) == problems
    [log] = (tmp_path / "out").iterdir()
    assert str(log) in str(caught.value)
    assert KEY not in log.read_text()
    assert caught.value.exit_code == 4


def test_a_server_that_never_answers(run_bootcamp: RunBootcamp, questions: Path, tmp_path: Path) -> None:
    """`--wait` bounds the start; the server is ended, and the last lines of its log stand below the error."""
    pids = tmp_path / "pids"
    done = run_bootcamp(*eval_words(command("--loading", 100, "--pids", pids), questions, "--wait", "1s"))
    assert done.returncode == 4
    *_, error, _, line = done.stderr.splitlines()
    assert "the server did not answer within 1 s" in error
    assert line == "  loading with key"
    wait_until_gone([int(pid) for pid in pids.read_text().split()])


def test_a_program_that_cannot_be_started(questions: Path, tmp_path: Path) -> None:
    """What the system says of the command is the error."""
    script = tmp_path / "script"
    script.write_text("#!/nonexistent/python\n")
    script.chmod(0o755)
    with pytest.raises(ServerEndedError) as caught:
        evaluate(settings_for(f"{script} {{port}}", questions, tmp_path))
    assert caught.value.problems == (f"{script}: No such file or directory",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--serve", "vllm 'serve"], "--serve: must be a command as for a shell: no closing quotation"),
        (["--serve", " "], "--serve: must not be empty"),
        (["--serve", "no-such-program-1 {port}"], "no-such-program-1: command not found"),
        (["--serve", "./questions {port}"], "./questions: is a directory"),
        (["--serve", "./questions/ladders.jsonl {port}"], "is not executable"),
        (["--serve", "./no-such-file {port}"], "no such file"),
        (["--serve", "env a"], "nothing says where the server is"),
        (["--serve", "env {port}", "--url", "http://127.0.0.1:9/v1"], "and so does --url"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_wrong_commands(
    words: list[str], said: str, dry: list[str], call_bootcamp: RunBootcamp, questions: Path
) -> None:
    """One line, exit code 2, and nothing was started; a dry run tells the same."""
    done = call_bootcamp("eval", *words, "--test-dir", questions, *dry)
    assert done.returncode == 2
    *_, line = done.stderr.splitlines()
    assert said in line


def test_a_dry_run_starts_nothing(call_bootcamp: RunBootcamp, questions: Path, tmp_path: Path) -> None:
    """It shows the command without its key, and where the server would be."""
    words = eval_words(command("--pids", tmp_path / "pids", "--api-key", KEY), questions, "--dry-run")
    text, data = call_bootcamp(*words), json.loads(call_bootcamp(*words, "--json").stdout)
    assert "--api-key ***" in text.stdout.splitlines()[0]
    assert data["serve"] == command("--pids", tmp_path / "pids", "--api-key", "KEY").replace("KEY", "***")
    assert data["url"] == "http://127.0.0.1:{port}/v1/completions"
    assert KEY not in text.stdout + text.stderr
    assert not (tmp_path / "pids").exists()
    assert not (tmp_path / "out").exists()


def test_where_a_command_may_stand(call_bootcamp: RunBootcamp, questions: Path, tmp_path: Path) -> None:
    """Not in a bootcamp.toml that was merely found; in one that is named, and in the environment."""
    (tmp_path / "bootcamp.toml").write_text('serve = "env {port}"\n')
    words = ("eval", "--test-dir", questions, "--dry-run")
    found = call_bootcamp(*words)
    assert found.returncode == 2
    assert "./bootcamp.toml: serve: may not be set by a file that was merely found" in found.stderr
    assert "server: started by env {port}" in call_bootcamp(*words, "--config", "bootcamp.toml").stdout
    (tmp_path / "bootcamp.toml").unlink()
    assert "server: started by env {port}" in call_bootcamp(*words, env={"BOOTCAMP_SERVE": "env {port}"}).stdout


def test_a_url_from_elsewhere_gives_way(call_bootcamp: RunBootcamp, questions: Path) -> None:
    """With {port} the URL follows from the port, whatever variables say; without it a variable may say where it is."""
    words, env = ("eval", "--test-dir", questions, "--dry-run"), {"BOOTCAMP_URL": "http://127.0.0.1:9/api/v1"}
    assert "http://127.0.0.1:{port}/v1" in call_bootcamp(*words, "--serve", "env {port}", env=env).stdout
    assert "http://127.0.0.1:9/api/v1" in call_bootcamp(*words, "--serve", "env 9", env=env).stdout


def test_a_port_of_ones_own_choice(questions: Path, tmp_path: Path) -> None:
    """Without {port} the server is where the URL says."""
    port = str(own_server.free_port())
    run = evaluate(settings_for(command(port=port), questions, tmp_path, url=f"http://127.0.0.1:{port}/v1", limit=1))
    assert run.summary.complete


def test_a_port_that_is_taken(questions: Path, tmp_path: Path) -> None:
    """Where somebody listens already nothing is started: it would be another's model that is evaluated."""
    pids = tmp_path / "pids"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = settings_for(
            command("--pids", pids, port=port), questions, tmp_path, url=f"http://127.0.0.1:{port}/v1"
        )
        with pytest.raises(ServerUnavailableError, match="something already listens"):
            evaluate(settings)
    assert not pids.exists()


def test_a_run_is_resumed_with_its_command_given_again(
    start_bootcamp: StartBootcamp, call_bootcamp: RunBootcamp, questions: Path, tmp_path: Path
) -> None:
    """The stored command is never run: `resume` wants it, or a URL; it starts nothing where nothing is owed."""
    serve = command("--latency", 0.1, "--pids", tmp_path / "pids")
    process = start_bootcamp(*eval_words(serve, questions))
    wait_for_records(tmp_path / "out", 3, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 130
    run_dir = run_dir_of(tmp_path / "out")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_until_gone(pids)

    refused = call_bootcamp("resume", run_dir)
    assert refused.returncode == 2
    assert "never taken from its eval_args.json; give --serve again, or --url" in refused.stderr
    assert len((tmp_path / "pids").read_text().split()) == 2
    resumed = call_bootcamp("resume", run_dir, "--serve", serve)
    assert resumed.returncode == 0, resumed.stderr
    assert len((tmp_path / "pids").read_text().split()) == 4
    assert sum(len(lines) for lines in records(run_dir).values()) == 24
    assert (run_dir / "server.log").read_text().count("starting the server") == 2
    assert call_bootcamp("resume", run_dir).returncode == 0
    assert call_bootcamp("resume", run_dir, "--serve", serve).returncode == 0
    assert len((tmp_path / "pids").read_text().split()) == 4, "nothing is owed, so that no server is started"
    removal = call_bootcamp("runs", "rm", run_dir, "--yes")
    assert removal.returncode == 0, removal.stderr
    assert "server.log" not in removal.stderr


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        *(("running", number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)),
        *(("loading", number) for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGKILL)),
    ],
)
def test_the_server_ends_with_the_tool(
    stage: str, number: signal.Signals, start_bootcamp: StartBootcamp, questions: Path, tmp_path: Path
) -> None:
    """Whatever ends the tool, while the server loads or in mid-run: the server and its child end, too."""
    pids = tmp_path / "pids"
    options = ["--loading", "60"] if stage == "loading" else ["--latency", "0.2"]
    process = start_bootcamp(*eval_words(command("--pids", pids, *options), questions))
    of_server = [int(pid) for pid in wait_for_lines(pids, 2, process)]
    if stage == "running":
        wait_for_records(tmp_path / "out", 1, process)
    assert os.getsid(of_server[0]) != os.getsid(process.pid), "Ctrl-C in the terminal does not reach it"
    process.send_signal(number)
    process.communicate(timeout=_PATIENCE_S)
    assert process.returncode in (130, -number)
    wait_until_gone(of_server)


def test_a_stubborn_server_is_killed(questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ignores SIGTERM is killed after the grace, and so is what it started."""
    monkeypatch.setattr(own_server, "GRACE_S", 0.3)
    pids = tmp_path / "pids"
    evaluate(settings_for(command("--pids", pids, "--stubborn"), questions, tmp_path, limit=1))
    of_server = [int(pid) for pid in pids.read_text().split()]
    assert len(of_server) == 2
    assert not any(map(is_alive, of_server))


def test_a_run_that_is_ended_at_once_does_not_wait_for_its_server(
    start_bootcamp: StartBootcamp, questions: Path, tmp_path: Path
) -> None:
    """After a second Ctrl-C a server that ignores SIGTERM is left to its supervisor, which kills it."""
    pids = tmp_path / "pids"
    process = start_bootcamp(*eval_words(command("--pids", pids, "--stubborn", "--loading", 60), questions))
    of_server = [int(pid) for pid in wait_for_lines(pids, 2, process)]
    process.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    _, stderr = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 130, stderr
    assert "ending the server" in stderr
    assert is_alive(of_server[0]) or time.monotonic() - began_s >= own_server.GRACE_S
    for pid in of_server:
        os.kill(pid, signal.SIGKILL)  # nobody waits for ten seconds here
    wait_until_gone(of_server)


def test_what_a_crashed_server_leaves_behind_is_ended(
    questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is started again nothing of it is left, as that may hold the GPU's memory; that costs no retry."""
    monkeypatch.setattr(own_server, "GRACE_S", 2 * own_server._NOTICE_S)
    serve = command("--pids", tmp_path / "pids", "--stubborn", "--count", tmp_path / "count", "--die-at", 3)
    run = evaluate(settings_for(serve, questions, tmp_path, limit=8, max_retries=0))
    assert run.summary.complete
    assert [line for line in (run.path / "server.log").read_text().splitlines() if "before it" in line] == [
        "0 processes before it, 0 of them alive",
        "2 processes before it, 0 of them alive",
    ]


def test_a_request_to_stop_while_the_server_starts(questions: Path, tmp_path: Path) -> None:
    """It ends the wait at once; no run directory was made."""
    stop, pids = StopRequest(), tmp_path / "pids"

    def ask(event: Event) -> None:
        if "starting the server" in getattr(event, "message", ""):
            stop.request()

    with pytest.raises(InterruptedRunError, match="before the first request"):
        evaluate(settings_for(command("--loading", 60, "--pids", pids), questions, tmp_path), ask, stop=stop)
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".log"]


def test_without_a_model_list(questions: Path, tmp_path: Path) -> None:
    """`check_model_url` off: the server is waited for all the same."""
    settings = settings_for(
        command("--loading", 0.3), questions, tmp_path, check_model_url=False, model_name="m", max_retries=0, limit=2
    )
    assert evaluate(settings).summary.complete


def test_a_library_resumes_with_the_command(questions: Path, tmp_path: Path) -> None:
    """`Run.resume` wants the command as well, as a keyword."""
    serve = command()
    run = evaluate(settings_for(serve, questions, tmp_path, limit=2))
    with pytest.raises(SettingsError, match="give --serve again"):
        run.resume(repeats=2)
    assert run.resume(repeats=2, serve=serve).summary.n_answered == 4


def test_recorded_while_the_server_is_away(questions: Path, tmp_path: Path) -> None:
    """What was answered before a crash is on disk or comes to be: each sample is recorded once."""
    seen: list[SampleRecorded] = []

    def note(event: Event) -> None:
        if isinstance(event, SampleRecorded):
            seen.append(event)

    serve = command("--count", tmp_path / "count", "--die-at", 5, 6, 7)
    evaluate(settings_for(serve, questions, tmp_path), note)
    assert len(seen) == 24
