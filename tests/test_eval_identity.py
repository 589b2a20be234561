"""What is one run: continued by what decided its answers and by the verifiers that scored it, and by nothing else."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bootcamp_cli import open_run
from tests.conftest import FaultServerProcess, RunBootcamp, StartFaultServer

WRONG = """
class Sudokubootcamp:
    @staticmethod
    def extract_output(output):
        return output[-20:]

    @classmethod
    def verify_score(cls, output, identity):
        return {score}
"""


@pytest.fixture
def server(fault_server: StartFaultServer, demo_test_dir: Path) -> FaultServerProcess:
    """A server that answers every prompt."""
    return fault_server(test_dir=demo_test_dir)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with a package internbootcamp that scores every sudoku 0.25."""
    return package_in(tmp_path / "package", "0.25")


def package_in(directory: Path, score: str) -> Path:
    """Write a package internbootcamp whose only bootcamp gives this score."""
    folder = directory / "internbootcamp" / "bootcamp"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text("from .sudoku import Sudokubootcamp\n")
    (folder / "sudoku.py").write_text(WRONG.format(score=score))
    return directory


class Evaluations:
    """`eval` and `resume` of the same few sudokus, half of them still owed after the first `eval`."""

    def __init__(self, run: RunBootcamp, server: FaultServerProcess, test_dir: Path, output: Path) -> None:
        self._run = run
        self.server = server
        self.test_dir = test_dir
        self.output = output

    def eval(self, *options: str | Path, env: Mapping[str, str] = {}) -> Any:
        """Run `eval`."""
        words = ("--url", self.server.url, "--model-name", "demo", "--test-dir", self.test_dir, "--include", "sudoku")
        return self._run("eval", *words, *options, env=env)

    def run(self, *words: str | Path) -> Any:
        """Run any other command."""
        return self._run(*words)

    def half(self, *options: str | Path) -> Path:
        """A run whose last four records were lost, as if it had been killed; gives its directory."""
        assert self.eval(*options).returncode == 0
        [run_dir] = self.output.iterdir()
        details = run_dir / "details" / "sudoku.jsonl"
        details.write_bytes(b"".join(details.read_bytes().splitlines(keepends=True)[:4]))
        edit(run_dir / "manifest.json", complete=False)
        return run_dir


@pytest.fixture
def evaluations(
    call_bootcamp: RunBootcamp, server: FaultServerProcess, demo_test_dir: Path, tmp_path: Path
) -> Evaluations:
    """Evaluations of sudokus."""
    return Evaluations(call_bootcamp, server, demo_test_dir, tmp_path / "output")


def edit(path: Path, **values: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def scores(run_dir: Path) -> list[float | None]:
    """The scores of the sudokus, in order."""
    lines = (run_dir / "details" / "sudoku.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["score"] for line in lines]


def test_verdicts_of_other_verifiers_are_not_mixed_in(evaluations: Evaluations, package: Path) -> None:
    """A run begun with the built-in verifier is not continued with the package's, by `resume` or by `eval --resume`."""
    run_dir = evaluations.half()
    before = scores(run_dir)
    upstream = ("--bootcamps", "upstream", "--bootcamps-path", package)
    for done in (evaluations.run("resume", run_dir, *upstream), evaluations.eval("--resume", *upstream)):
        assert done.returncode == 2, done.stderr
        assert "was scored by other verifiers: Sudoku (builtin, here upstream)" in done.stderr
        assert f"`bootcamp rescore {run_dir}`" in done.stderr
    assert scores(run_dir) == before
    assert len(list(evaluations.output.iterdir())) == 1
    assert evaluations.run("resume", run_dir).returncode == 0


def test_rescore_writes_down_by_what_it_scored(evaluations: Evaluations, package: Path) -> None:
    """After `rescore` by the package, `resume` goes on with the package, and refuses the built-in verifier."""
    run_dir = evaluations.half()
    done = evaluations.run("rescore", run_dir, "--bootcamps", "upstream", "--bootcamps-path", package, "--json")
    assert json.loads(done.stdout)["verifiers"]["Sudoku"]["origin"] == "upstream"
    assert scores(run_dir) == [0.25] * 4
    refused = evaluations.run("resume", run_dir, "--bootcamps", "builtin")
    assert (refused.returncode, "Sudoku (upstream, here builtin)" in refused.stderr) == (2, True)
    assert evaluations.run("resume", run_dir).returncode == 0
    assert scores(run_dir) == [0.25] * 8
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["bootcamps"] == {"Sudoku": "upstream"}
    assert set(manifest["identity"]["verifiers"]["Sudoku"]) == {"origin", "digest", "fallback"}


def test_other_code_of_a_verifier_is_another_verifier(evaluations: Evaluations, package: Path, tmp_path: Path) -> None:
    """A package that moved is the same; one whose bootcamp was edited is not, until `rescore`."""
    run_dir = evaluations.half("--bootcamps", "upstream", "--bootcamps-path", package)
    moved = package_in(tmp_path / "moved", "0.25")
    assert evaluations.run("resume", run_dir, "--bootcamps-path", moved, "--repeats", "2").returncode == 0
    edited = package_in(tmp_path / "edited", "0.75")
    refused = evaluations.run("resume", run_dir, "--bootcamps-path", edited, "--repeats", "3")
    assert (refused.returncode, "Sudoku (other code)" in refused.stderr) == (2, True)
    options = ("--bootcamps", "upstream", "--bootcamps-path", edited)
    assert evaluations.run("rescore", run_dir, *options).returncode == 0
    assert evaluations.run("resume", run_dir, "--repeats", "3").returncode == 0
    assert scores(run_dir) == [0.75] * 24


def test_a_rescore_that_was_cut_off_is_finished_first(evaluations: Evaluations) -> None:
    """A run whose rescore was killed may hold verdicts of two kinds: `resume` refuses until `rescore` has ended."""
    run_dir = evaluations.half()
    edit(run_dir / "manifest.json", rescoring=True)
    refused = evaluations.run("resume", run_dir)
    assert (refused.returncode, "a rescore was cut off" in refused.stderr) == (2, True)
    assert evaluations.run("rescore", run_dir).returncode == 3
    assert evaluations.run("resume", run_dir).returncode == 0


def test_a_run_that_tells_no_versions_is_continued(evaluations: Evaluations) -> None:
    """Digests that an older run lacks count as equal, which is said; origins are compared with what it has."""
    run_dir = evaluations.half()
    manifest = run_dir / "manifest.json"
    identity = json.loads(manifest.read_text())["identity"]
    del identity["verifiers"]
    edit(manifest, identity=identity)
    done = evaluations.run("resume", run_dir)
    assert done.returncode == 0, done.stderr
    assert "does not tell the versions of 1 verifier: the present ones are assumed" in done.stderr
    assert json.loads(manifest.read_text())["identity"]["verifiers"]["Sudoku"]["digest"]
    edit(manifest, identity=identity, bootcamps={"Sudoku": "upstream"})
    refused = evaluations.run("resume", run_dir, "--repeats", "2")
    assert (refused.returncode, "Sudoku (upstream, here builtin)" in refused.stderr) == (2, True)


@pytest.mark.parametrize("key", ["temperature", "stop", "include"])
def test_a_key_that_a_manifest_lacks_is_compared_in_one_way(key: str, evaluations: Evaluations) -> None:
    """`resume` and `eval --resume` both go on where a key is missing whose value is the default, and nowhere else."""
    run_dir = evaluations.half()
    manifest = run_dir / "manifest.json"
    identity = json.loads(manifest.read_text())["identity"]
    is_default = key != "include"
    del identity[key]
    edit(manifest, identity=identity)
    resumed = evaluations.run("resume", run_dir)
    found = evaluations.eval("--resume")
    assert resumed.returncode == (0 if is_default else 2)
    assert f"{run_dir} is finished" in found.stderr if is_default else "differs in include" in found.stderr


def test_the_nearest_run_is_named(evaluations: Evaluations) -> None:
    """`eval --resume` without a match says which run is nearest and in what it differs, and starts a new one."""
    assert "nothing to resume under" in evaluations.eval("--resume", "--temperature", "0.5", "--top-k", "3").stderr
    [first] = evaluations.output.iterdir()
    done = evaluations.eval("--resume", "--temperature", "0.6", "--top-k", "3")
    assert done.returncode == 0
    assert f"the nearest run, {first}, differs in temperature (0.5, here 0.6); starting a new run" in done.stderr
    assert len(list(evaluations.output.iterdir())) == 2


def test_an_unfinished_run_of_the_same_kind_is_mentioned(evaluations: Evaluations) -> None:
    """`eval` without `--resume` starts a new run, and says that an unfinished one has the same settings."""
    run_dir = evaluations.half()
    done = evaluations.eval()
    assert f"an unfinished run has the same settings: `bootcamp resume {run_dir}` would continue it" in done.stderr
    assert evaluations.run("resume", run_dir).returncode == 0
    assert "has the same settings" not in evaluations.eval().stderr
    assert len(list(evaluations.output.iterdir())) == 3


def test_outputs_without_a_verifier_may_get_one_later(
    evaluations: Evaluations, package: Path, write_rows: Any, tmp_path: Path
) -> None:
    """Where a run had no verifier, a new one mixes nothing: `resume` goes on with it, `rescore` verifies the rest."""
    row = {"data_source": "Riddle", "prompt": "p", "ground_truth": 1}
    evaluations.test_dir = write_rows(tmp_path / "riddles" / "riddle.jsonl", [row] * 2).parent
    assert evaluations.eval("--include", "*", "--allow-unscored").returncode == 0
    [run_dir] = evaluations.output.iterdir()
    folder = package / "internbootcamp" / "bootcamp"
    (folder / "__init__.py").write_text("from .riddle import Riddlebootcamp\n")
    (folder / "riddle.py").write_text(WRONG.format(score=0.5).replace("Sudoku", "Riddle"))
    resumed = evaluations.run("resume", run_dir, "--bootcamps-path", package, "--repeats", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert open_run(run_dir).summary.unverified == {"unscored": 2}
    assert evaluations.run("rescore", run_dir, "--bootcamps-path", package).returncode == 0
    assert open_run(run_dir).summary.avg_score == 0.5


def test_a_report_as_json_names_its_directory(evaluations: Evaluations) -> None:
    """`report --json`, `report --format json` and `eval --json` name the run directory, with the same object."""
    evaluated = json.loads(evaluations.eval("--json").stdout)
    [run_dir] = evaluations.output.iterdir()
    assert evaluated["run_dir"] == str(run_dir)
    for options in (("--json",), ("--format", "json")):
        assert json.loads(evaluations.run("report", run_dir, *options).stdout) == evaluated


def test_a_bare_resume_warns_once(evaluations: Evaluations, call_bootcamp: RunBootcamp) -> None:
    """Without a run directory `resume` reads the sources twice, and warns of each thing once."""
    evaluations.half()
    done = call_bootcamp("resume", env={"BOOTCAMP_NONSENSE": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("BOOTCAMP_NONSENSE: no such setting") == 1


def test_answers_given_up_at_a_stop_are_pending(
    start_bootcamp: Any, call_bootcamp: RunBootcamp, server: FaultServerProcess, tmp_path: Path, demo_test_dir: Path
) -> None:
    """Verdicts that a stopped run does not wait for are `pending`, exit code 130; `resume` requests none of them."""
    folder = package_in(tmp_path / "slow", "0.5") / "internbootcamp" / "bootcamp"
    hold = tmp_path / "hold"
    hold.touch()
    (folder / "sudoku.py").write_text(
        "import pathlib, time\n"
        + WRONG.format(score="0.5").replace(
            "        return output[-20:]",
            f"        while pathlib.Path({str(hold)!r}).exists():\n            time.sleep(0.01)\n        return 'x'",
        )
    )
    words = ("--bootcamps", "upstream", "--bootcamps-path", folder.parents[1], "--include", "sudoku")
    process = start_bootcamp(
        *("eval", "--url", server.url, "--model-name", "demo", "--test-dir", demo_test_dir, *words),
        *("--verify-timeout", "10m"),
    )
    while server.stats()["answered"] < 8:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    while "interrupted: no new requests" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    [run_dir] = (tmp_path / "output").iterdir()
    lines = [json.loads(line) for line in (run_dir / "details" / "sudoku.jsonl").read_text().splitlines()]
    assert {line["failure"] for line in lines} == {"pending"}
    assert {line["score"] for line in lines} == {None}
    assert open_run(run_dir).summary.unverified == {"pending": len(lines)}
    hold.unlink()
    n_before = server.stats()["received"]
    done = call_bootcamp("resume", run_dir)
    assert done.returncode == 0, done.stderr
    assert server.stats()["received"] - n_before == 8 - len(lines)
    assert scores(run_dir) == [0.5] * 8
