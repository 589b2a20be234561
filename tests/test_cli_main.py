"""The entry point: what ends a command, in one line and an exit code."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootcamp_cli import __version__
from bootcamp_cli.__main__ import main
from bootcamp_cli.cli.console import Console, json_text
from bootcamp_cli.cli.failure import failure_of
from bootcamp_cli.errors import (
    BootcampError,
    DatasetError,
    InterruptedRunError,
    RunDirectoryError,
    ServerUnavailableError,
    UsageError,
    disk_error,
)
from bootcamp_cli.text import visible_lines


def call(
    *words: str, code: str = "", env: dict[str, str] | None = None, started_by: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """`bootcamp config show` with these words in a process that runs `code` once the settings are read."""
    script = (
        "import sys\n"
        "from bootcamp_cli.cli.options import Call\n"
        "from bootcamp_cli.errors import *\n"
        f"def fails(call, resolved):\n    {code or 'pass'}\n"
        "Call.learn = fails\n"
        "from bootcamp_cli.__main__ import main\n"
        "sys.exit(main(['config', 'show', *sys.argv[1:]]))\n"
    )
    return subprocess.run(
        [*started_by, sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )


def test_version() -> None:
    """`python -m bootcamp_cli --version` prints name and version alone."""
    done = subprocess.run(
        [sys.executable, "-m", "bootcamp_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"bootcamp {__version__}\n", "")


@pytest.mark.parametrize(
    ("code", "exit_code", "line"),
    [
        ("raise BootcampError('it broke', hint='fix it')", 1, "error: it broke; fix it"),
        ("raise SettingsError('url: wrong')", 2, "error: url: wrong"),
        ("raise ServerUnavailableError('http://h: refused')", 4, "error: http://h: refused"),
        ("raise InterruptedRunError('stopped by SIGINT')", 130, "stopped by SIGINT"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise ExceptionGroup('tasks', [ExceptionGroup('inner', [RunLockedError('locked')])])", 1, "error: locked"),
        ("raise ExceptionGroup('tasks', [UsageError('first'), UsageError('second')])", 2, "error: first"),
        ("raise BaseExceptionGroup('tasks', [KeyboardInterrupt(), ValueError('x')])", 130, "interrupted"),
        (
            "raise OSError(28, 'No space left on device', '/x/y')",
            1,
            (
                "error: cannot write /x/y: No space left on device; "
                "free some space and run `bootcamp resume`: everything written so far is kept"
            ),
        ),
        (
            "raise ValueError('two\\nlines \\x1b[2J')",
            1,
            "unexpected error: ValueError: two\\nlines \\x1b[2J; run again with --debug for the traceback",
        ),
        (
            "raise ExceptionGroup('tasks', [ValueError('x')])",
            1,
            "unexpected error: ValueError: x; run again with --debug for the traceback",
        ),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(code: str, exit_code: int, line: str) -> None:
    """Whatever a command ends with, stderr has one line about it, stdout nothing, and the exit code says its kind."""
    done = call(code=code)
    assert (done.returncode, done.stdout, done.stderr) == (exit_code, "", f"bootcamp: {line}\n")


def test_problems_of_the_data_stand_below_the_line() -> None:
    """A dataset error lists its problems, each on a line of its own."""
    done = call(code="raise DatasetError('2 problems', problems=('a.jsonl:1: no prompt', 'a.jsonl:2: \\x07'))")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["bootcamp: error: 2 problems", "  a.jsonl:1: no prompt", r"  a.jsonl:2: \x07"]


def test_an_error_as_json() -> None:
    """With --json stdout has the error as an object, and stderr its line all the same."""
    done = call("--json", code="raise DatasetError('bad', problems=('f:1: x',), hint='fix it')")
    expected = {"message": "bad", "hint": "fix it", "exit_code": 2, "problems": ["f:1: x"]}
    assert json.loads(done.stdout) == {"error": expected}
    assert done.stderr.startswith("bootcamp: error: bad; fix it\n")


def test_debug_shows_the_traceback() -> None:
    """With --debug the traceback stands before the line; without it there is none."""
    done = call("--debug", code="raise ValueError('x')")
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("--debug for the traceback\n")


def test_no_secret_in_errors_tracebacks_and_words() -> None:
    """What a command has learnt to be secret shows in nothing that it says afterwards."""
    code = (
        "call.console.redaction.add(['sk-marked']); call.console.warn('key sk-marked'); raise ValueError('sk-marked')"
    )
    done = call("--debug", "--json", code=code)
    assert "sk-marked" not in done.stdout + done.stderr
    assert done.stderr.startswith("warning: key ***\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["config", "show", "--max-tokns", "4"], "no such option --max-tokns; did you mean --max-tokens?"),
        (["config", "show", "--max_tokns=4"], "no such option --max-tokns; did you mean --max-tokens?"),
        (["config", "show", "--zzz"], "no such option --zzz; see bootcamp config show --help"),
        (
            ["config", "show", "--max-tokens"],
            "option '--max-tokens' requires an argument; see bootcamp config show --help",
        ),
        (["config", "show", "x"], "got unexpected extra argument(s) (x); see bootcamp config show --help"),
        (["confg"], "no such command 'confg'; did you mean config?"),
        (["templates", "lst"], "no such command 'lst'; did you mean list?"),
        (["zzz"], "no such command 'zzz'; see bootcamp --help"),
        (["--zzz"], "no such option --zzz; see bootcamp --help"),
        (["report"], "missing argument 'RUN_DIR'; see bootcamp report --help"),
        (["config", "show", "--resume=maybe"], "--resume: must be true or false, got 'maybe'"),
    ],
)
def test_wrong_use_is_one_line_with_what_was_meant(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong words end with exit code 2 and a line that suggests the right ones or the help."""
    assert main(words) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"bootcamp: error: {line}\n")


def test_commands_may_be_underscored(capsys: pytest.CaptureFixture[str]) -> None:
    """`check_model` is `check-model`, as with options."""
    assert main(["check_model", "--help"]) == 0
    assert "--probe" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
@pytest.mark.parametrize("started_by", [(), ("sh", "-c", 'trap "" INT; exec "$@"', "sh")])
def test_other_signals_end_a_command_as_sigint_does(started_by: tuple[str, ...], name: str) -> None:
    """A command that handles no signals itself ends with 130 on them, also one that was started to ignore SIGINT."""
    code = f"import os, signal, time; os.kill(os.getpid(), signal.{name}); time.sleep(30)"
    done = call(code=code, started_by=started_by)
    assert (done.returncode, done.stderr) == (130, "bootcamp: interrupted\n")


def test_the_handler_of_sigterm_is_put_back() -> None:
    """A caller of main() keeps its own handler."""
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("words", [["config", "show"], ["config", "show", "--json"], ["--help"], ["--version"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    """With a closed pipe as stdout a command ends quietly with its own exit code."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "bootcamp_cli", *words], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_streams_are_no_error() -> None:
    """Without stdout and stderr a command does its work all the same."""
    script = f"exec '{sys.executable}' -m bootcamp_cli config show --wait 5 >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error() -> None:
    """Output that cannot be written is an error of the disk, exit code 1."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bootcamp_cli", "config", "show"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"bootcamp: error: cannot write: No space left on device; free some space")
    assert b"resume" not in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("doing", ["read a.jsonl", "list details", "look at the lock of run"])
def test_what_is_only_looked_at_need_not_be_writable(doing: str) -> None:
    """The advice for a file of somebody else's run is not to write to it, nor to resume that run."""
    error = disk_error(PermissionError(errno.EACCES, "Permission denied"), doing)
    assert str(error) == f"cannot {doing}: Permission denied; make it readable, or ask whose it is"


@pytest.mark.parametrize("error", [BootcampError, RunDirectoryError, UsageError, DatasetError, ServerUnavailableError])
def test_known_errors_keep_their_exit_code(error: type[BootcampError]) -> None:
    """The exit code of a known error is that of its class."""
    assert failure_of(error("text")).exit_code == error.exit_code


def test_an_interrupted_run_is_not_called_an_error() -> None:
    """What the user asked for is no error; its line says how to go on."""
    assert failure_of(InterruptedRunError("stopped", hint="resume it")).line == "bootcamp: stopped; resume it"


def test_a_missing_file_is_unforeseen() -> None:
    """An OSError that is no matter of the disk is reported as unexpected, with its text."""
    failure = failure_of(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))
    assert failure.exit_code == 1
    assert failure.line.startswith("bootcamp: unexpected error: FileNotFoundError: [Errno 2]")


def test_the_console_keeps_its_channels_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """The result goes to stdout as text or JSON, words go to stderr, and to nowhere where quiet is asked for."""
    Console().result({"a": 1}, text="one")
    Console(json=True).result({"a": Path("x"), "b": {"é"}}, text="one")
    Console().notify("told")
    Console(quiet=True).warn("not told")
    captured = capsys.readouterr()
    first, _, rest = captured.out.partition("\n")
    assert first == "one"
    assert json.loads(rest) == {"a": "x", "b": ["é"]}
    assert captured.err == "told\n"


def test_controls_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal escapes, stray bytes and overrides come out as escapes; lines, tabs and a renderer's styles stay."""
    assert visible_lines("a\x1b[31m\tb\n\udcff\u202e") == "a\\x1b[31m\tb\n\\xff\\u202e"
    Console().result(None, text="\x1b[1mbold\x1b[0m", styled=True)
    Console().result(None, text="\x1b[1mbold")
    assert capsys.readouterr().out == "\x1b[1mbold\x1b[0m\n\\x1b[1mbold\n"


def test_json_with_controls_reads_back_the_same() -> None:
    """Controls in JSON are written as JSON escapes, letters as they are."""
    data = {"é": "\x9b\u202e\x00\U000e0001 ünï"}
    text = json_text(data)
    assert json.loads(text) == data
    assert "é" in text
    assert not {"\x9b", "\u202e", "\U000e0001"} & set(text)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    """With standard streams closed, as cron may leave them, a run is made, and none of its files gets their number."""
    script = f'exec "$0" -m bootcamp_cli demo --output-dir "$1" {closed}'
    done = subprocess.run(["sh", "-c", script, sys.executable, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [run_dir] = tmp_path.glob("demo_*")
    assert len((run_dir / "meta.jsonl").read_text().splitlines()) == 14
    written = b"".join(path.read_bytes() for path in run_dir.rglob("*.jsonl"))
    assert all(line.startswith(b"{") for line in written.splitlines())


def test_a_path_of_any_bytes_reaches_the_command(tmp_path: Path) -> None:
    """An argument whose bytes are no UTF-8 is the path that it names."""
    name = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run([sys.executable, "-m", "bootcamp_cli", "report", name], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"bootcamp: error: " + os.fsencode(tmp_path) + b"/\\xff")
