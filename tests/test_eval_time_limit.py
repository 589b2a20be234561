"""Jobs with a time limit: `--stop-after`, and the script of the README that has Slurm requeue a job."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from bootcamp_cli import Settings, StopRequest
from bootcamp_cli.cli.docs import README
from bootcamp_cli.settings.sources import Sources
from bootcamp_cli.settings.stored import settings_from_eval_args, to_eval_args
from tests.conftest import RunBootcamp, StartFaultServer
from tests.test_eval_interrupted import eval_command, wait_for_records
from tests.test_eval_run_directory import run_dir_of


def readme_script(*, of_array: bool = False) -> str:
    """The batch script of the README, that of a job or that of an array of them."""
    scripts = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH .*?)```", README.read_text("utf-8"), re.DOTALL)
    jobs = [script for script in scripts if "#SBATCH --requeue" in script]  # not the one of a Ray cluster
    [script] = [script for script in jobs if ("#SBATCH --array" in script) == of_array]
    return str(script)


def executable(path: Path, script: str) -> None:
    """Write a shell script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_run_stops_after_its_time_and_is_resumed(
    fault_server: StartFaultServer, demo_test_dir: Path, run_bootcamp: RunBootcamp, tmp_path: Path
) -> None:
    """A run with a time limit ends with 130, says so at its start, and the same command goes on from there."""
    slow = fault_server(test_dir=demo_test_dir, latency=1, latency_shape="fixed")
    words = eval_command(slow, demo_test_dir, "--output-dir", "out", "--resume")
    words.remove("--quiet")
    done = run_bootcamp(*words, "--max-concurrent-requests", "2", "--stop-after", "3s")
    assert done.returncode == 130, done.stderr
    assert "stopping after 3s, if it is not done by then" in done.stderr
    fast = fault_server(test_dir=demo_test_dir)
    again = run_bootcamp(*eval_command(fast, demo_test_dir, "--output-dir", "out", "--resume"))
    assert again.returncode == 0, again.stderr
    assert b'"complete": true' in (run_dir_of(tmp_path / "out") / "manifest.json").read_bytes()


def test_the_time_passes_while_the_server_is_awaited(
    run_bootcamp: RunBootcamp, demo_test_dir: Path, tmp_path: Path
) -> None:
    """A server that is not there uses up the time as well; then nothing was made."""
    words = ["--model-name", "demo", "--test-dir", str(demo_test_dir), "--stop-after", "500ms"]
    done = run_bootcamp("eval", "--url", "http://127.0.0.1:9/v1", *words)
    assert done.returncode == 130, done.stderr
    assert "stopped before the first request" in done.stderr
    assert not list(tmp_path.glob("output/*"))


@pytest.mark.parametrize(("flags", "env", "expected"), [({}, {}, None), ({}, {"BOOTCAMP_STOP_AFTER": "2m"}, 120.0)])
def test_a_resumed_run_has_the_time_of_its_own_command(
    flags: Mapping[str, str], env: Mapping[str, str], expected: float | None, tmp_path: Path
) -> None:
    """The time limit is not the run's: one that goes on takes it from its own flags and variables, or has none."""
    args = to_eval_args(Settings(stop_after=60.0, test_dir=tmp_path))
    assert args["stop_after"] == 60.0
    sources = Sources(flags=flags, env=env, cwd=tmp_path)
    assert settings_from_eval_args(args, place="x", sources=sources).settings.stop_after == expected
    kept = Sources(flags=flags, env=env, cwd=tmp_path, kept=Settings(stop_after=60.0))
    assert settings_from_eval_args(args, place="x", sources=kept).settings.stop_after == expected


def test_time_never_counts_as_a_second_request_to_stop() -> None:
    """Where a run is stopping already, the end of its time does not end it at once."""

    async def main() -> None:
        stop = StopRequest()
        stop.request()
        await stop.request_after(0)
        with anyio.move_on_after(0.05) as scope:
            await stop.wait(2)
        assert scope.cancelled_caught

    anyio.run(main)


def test_the_batch_script_requeues_until_the_run_is_complete(
    fault_server: StartFaultServer, demo_test_dir: Path, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """The README's script is valid; a job that gets SIGUSR1 asks to be requeued, and the next one completes the run."""
    script = tmp_path / "job.sh"
    script.write_text(readme_script())
    subprocess.run(["bash", "-n", script], check=True)
    programs = tmp_path / "programs"
    executable(programs / "srun", 'echo $$ > step; exec "$@"')
    executable(programs / "bootcamp", f'exec {sys.executable} -m bootcamp_cli "$@" --quiet --max-concurrent-requests 8')
    executable(programs / "scontrol", 'echo "$@" >> requeued')
    server = fault_server(test_dir=demo_test_dir, latency=0.1, latency_shape="fixed")
    env = {
        **clean_environment,
        "PATH": f"{programs}{os.pathsep}{clean_environment['PATH']}",
        "SLURM_JOB_ID": "4711",
        "URL": server.url,
        "MODEL": "demo",
        "TEST_DIR": str(demo_test_dir),
        "TEMPLATE": "chatml",
    }
    first = subprocess.Popen(
        ["bash", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        wait_for_records(tmp_path / "output", 3, first)
        os.kill(int((tmp_path / "step").read_text()), signal.SIGUSR1)
        assert first.wait(60) == 130
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
    second = subprocess.run(["bash", script], cwd=tmp_path, env=env, capture_output=True, check=False, timeout=60)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
    assert b'"complete": true' in (run_dir_of(tmp_path / "output") / "manifest.json").read_bytes()
