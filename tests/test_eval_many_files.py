"""More test files than a process may open."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import StartFaultServer, WriteRows
from tests.test_eval_run_directory import run_dir_of

N_FILES = 150
N_ROWS = 2
MAX_OPEN = 100


def test_a_test_file_takes_no_descriptor(
    fault_server: StartFaultServer, write_rows: WriteRows, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """With more test files than may be open at once, eval, rescore and resume run to their end, and no sample fails."""
    truth = {"start_word": "cat", "end_word": "dog", "correct_steps": 3}
    for n in range(N_FILES):
        rows = [
            {"data_source": "KorPuzzleWordLadder", "prompt": f"{n}.{i}", "ground_truth": truth} for i in range(N_ROWS)
        ]
        write_rows(tmp_path / "tests" / f"{n:04}.jsonl", rows)
    server = fault_server(test_dir=tmp_path / "tests")

    def limited(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = ("sh", "-c", f'ulimit -n {MAX_OPEN} && exec "$@"', "sh", sys.executable, "-m", "bootcamp_cli", *words)
        return subprocess.run(
            command,
            env=clean_environment,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    eval_words = ("eval", "--url", server.url, "--model-name", "demo", "--test-dir", "tests", "--output-dir", "out")
    done = limited(*eval_words, "--max-concurrent-requests", "8", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_scored"] == N_FILES * N_ROWS
    run_dir = run_dir_of(tmp_path / "out")
    for command in ("rescore", "resume"):
        done = limited(command, run_dir)
        assert done.returncode == 0, done.stderr
