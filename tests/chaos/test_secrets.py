"""A key shows nowhere: not in files, not in what is printed, not in the workers, however a run ends."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

import bootcamp_cli.engine.run
from bootcamp_cli.engine.session import Session
from tests.chaos.figure import tell
from tests.chaos.invocation import invoke, isolate
from tests.chaos.marks import MARK, SOURCES, Source, leaks_in_bytes, leaks_in_files, leaks_in_text, marked
from tests.chaos.processes import children_of
from tests.conftest import StartBootcamp, StartFaultServer
from tests.test_eval_interrupted import wait_for_records

End = Literal["success", "refused", "failing", "killed"]
FAULTS: dict[End, tuple[str, ...]] = {"success": (), "refused": ("401",), "failing": ("500",), "killed": ()}
QUICK: tuple[tuple[Source, End], ...] = (("flag", "success"), ("url", "failing"), ("toml", "killed"))
WORKERS_SEEN = sys.platform == "linux"


def leaks_of_workers(pid: int) -> tuple[int, list[str]]:
    """How many descendants of a process there are, and which have a mark in command line or environment.

    Between fork and exec a child still shows the command line of its parent; it is looked at when it has its own.
    """
    found: list[str] = []
    own = process_file(pid, "cmdline")
    waiting, n_seen = children_of(pid), 0
    while waiting:
        child = waiting.pop()
        command = process_file(child, "cmdline")
        if command and command != own:
            n_seen += 1
            shown = {"cmdline": command, "environ": process_file(child, "environ")}
            found += [f"{name} of {command!r}" for name, content in shown.items() if leaks_in_bytes(content)]
        waiting |= children_of(child)
    return n_seen, found


def process_file(pid: int, name: str) -> bytes:
    """What the system tells of a process; nothing where it is gone, or the system tells nothing."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def test_marked_keys_show_nowhere(
    fault_server: StartFaultServer,
    demo_test_dir: Path,
    start_bootcamp: StartBootcamp,
    tmp_path: Path,
    long_form: bool,
) -> None:
    """A key from any source, and marked headers, query and body, after any end of a run: in no file, line or worker."""
    every: list[tuple[Source, End]] = [(source, end) for source in SOURCES for end in FAULTS]
    n_files, n_lines, n_workers = 0, 0, Counter[End]()
    for number, (source, end) in enumerate(every if long_form else QUICK):
        server = fault_server(test_dir=demo_test_dir, faults=FAULTS[end], latency=0.01)
        call = marked(source, server.url)
        place = tmp_path / f"{number} {source} {end}"
        (place / "tmp").mkdir(parents=True)
        config = place / "given.toml"
        config.write_text(call.toml)
        words = ["eval", "--test-dir", str(demo_test_dir), "--config", str(config), "--debug", *call.words]
        words += ["--url", call.url] if call.url else []
        words += ["--limit", "4", "--max-retries", "1", "--max-retrying-delay", "0", "--max-concurrent-requests", "4"]
        process = start_bootcamp(
            *words, env={**call.environment, "TMPDIR": str(place / "tmp"), "HOME": str(place)}, cwd=place
        )
        out, err, seen = ended(process, end, place)
        n_workers[end] += seen
        assert leaks_in_text(out + err) == [], (source, end)
        assert leaks_in_files(tmp_path, ours=tmp_path.glob("*/given.toml")) == [], (source, end)
        n_lines += len((out + err).splitlines())
        n_files += sum(path.is_file() for path in place.rglob("*"))
        server.stop()
    assert n_workers["success"] > 0 or not WORKERS_SEEN, "workers were looked at"
    tell(
        f"secrets: {number + 1} runs with 5 marks each, {n_files} files, {n_lines} lines, "
        f"{n_workers.total()} looks at workers: no mark"
    )


def ended(process: "subprocess.Popen[str]", end: End, place: Path) -> tuple[str, str, int]:
    """Let a run come to its end, look at its workers meanwhile; gives what it printed and the number of looks."""
    n_seen = 0
    if end == "killed":
        wait_for_records(place / "output", 3, process)
        n_seen, found = leaks_of_workers(process.pid)
        assert found == []
        os.killpg(process.pid, signal.SIGKILL)
    while process.poll() is None:
        n_new, found = leaks_of_workers(process.pid)
        assert found == []
        n_seen += n_new
        time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    expected = {"success": (0,), "refused": (4,), "failing": (3, 4), "killed": (-signal.SIGKILL,)}
    assert process.returncode in expected[end], err
    assert ("Traceback" in err) == (process.returncode == 4), "--debug shows it"
    return out, err, n_seen


@pytest.mark.parametrize("source", ["variable", "url"])
def test_crashes_quote_no_key(
    source: Source, fault_server: StartFaultServer, demo_test_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tool itself breaks, with the key in the exception and its cause, --debug shows both without it."""
    isolate(monkeypatch, tmp_path)
    call = marked(source, fault_server(test_dir=demo_test_dir).url)
    for name, value in call.environment.items():
        monkeypatch.setenv(name, value)
    Path("given.toml").write_text(call.toml)

    async def broken(session: Session, *_: object) -> None:
        settings = session.plan.settings
        texts = (settings.url, settings.api_key.reveal(), settings.headers, settings.extra_body)
        raise LookupError(*texts) from ConnectionError(f"cannot connect: {texts}")

    monkeypatch.setattr(bootcamp_cli.engine.run, "run", broken)
    words: tuple[str | Path, ...] = (
        "eval",
        "--test-dir",
        demo_test_dir,
        "--config",
        "given.toml",
        "--url",
        call.url,
        *call.words,
    )
    for more in (("--debug",), ("--debug", "--json"), ()):
        said = invoke(*words, *more)
        assert said.code == 1
        assert "LookupError" in said.err
        assert ("cannot connect: " in said.err) == bool(more)
        assert leaks_in_text(said.out + said.err) == []
    assert leaks_in_files(tmp_path, ours=tmp_path.rglob("given.toml")) == []


WRONG_SETTINGS = (
    f'api_key = ["{MARK}"]',
    f'api_key = {{ a = "{MARK}" }}',
    f'api_key = "{MARK}\\nsecond line"',
    f'api_key = "{MARK}',
    f'headers = "{MARK}"',
    f'headers = {{ X-A = ["{MARK}"] }}',
    f'headers = {{ "X A" = "{MARK}" }}',
    f'headers = {{ X-A = "{MARK}\\n" }}',
    f'extra_body = "{{\\"api_key\\": \\"{MARK}\\""',
    f'extra_body = {{ api_key = "{MARK}", x = nan }}',
    f'url = "http://user:{MARK}@host:99999/v1"',
    f'url = "http://user:{MARK.replace("/", "")}@host:99999/v1"',
    f'url = "user:{MARK}@host/v1"',
    f'url = ["http://user:{MARK}@host/v1"]',
    f'api_key = "{MARK}"\nnonsense = 1',
    f'api_key = "{MARK}"\nmax_tokens = 0',
)


@pytest.mark.parametrize("content", WRONG_SETTINGS)
@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_refused_settings_quote_no_key(
    content: str, debug: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settings file that is refused, also for the secret itself, is refused without showing it."""
    isolate(monkeypatch, tmp_path)
    Path("given.toml").write_text(content)
    for command in (("eval", "--test-dir", "."), ("config", "show"), ("check-model", "--wait", "0")):
        said = invoke(*command, "--config", "given.toml", *debug)
        assert said.code == 2
        assert leaks_in_text(said.out + said.err) == []
