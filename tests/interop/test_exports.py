"""Exports in the hands of the tools that they are for, each in a process of its own."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from bootcamp_cli import open_run
from bootcamp_cli.types import FailureRecord, encode_line
from tests.conftest import RunBootcamp
from tests.interop.conftest import chromium
from tests.run_directories import write_run

_PATIENCE_S = 120
MODEL = "vllm/org/demo <b>1"
PROMPT = "<script>alert(1)</script><img src=x onerror=alert(2)> =HYPERLINK(1) \x1b[31m"

READ_INSPECT = """
import json, sys
from inspect_ai.analysis import samples_df
from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries
path = sys.argv[1]
log = read_eval_log(path)
frame = samples_df(path)
print(json.dumps({
    "status": log.status,
    "model": log.eval.model,
    "config": log.eval.model_generate_config.model_dump(exclude_none=True),
    "metrics": {score.name: {name: m.value for name, m in score.metrics.items()} for score in log.results.scores},
    "samples": [
        [s.id, s.epoch, s.scores["verify_score"].as_float() if s.scores else None,
         s.output.stop_reason if s.output.choices else None,
         s.error and s.error.message, s.metadata["file"], s.metadata["row"]]
        for s in log.samples
    ],
    "one": read_eval_log_sample(path, id=1, epoch=2).messages[-1].text,
    "summaries": len(read_eval_log_sample_summaries(path)),
    "reductions": [[s.sample_id, s.value] for s in log.reductions[0].samples],
    "frame": [len(frame), sorted(frame["score_verify_score"].dropna())],
}))
"""

READ_LM_EVAL = """
import json, sys
from pathlib import Path
from lm_eval.utils import (
    get_file_datetime, get_file_task_name, get_latest_filename, get_results_filenames, get_sample_results_filenames,
    hash_string, sanitize_model_name,
)
folder, model = Path(sys.argv[1]), sys.argv[2]
names = [str(path) for path in folder.rglob("*") if path.is_file()]
results, samples = get_results_filenames(names), get_sample_results_filenames(names)
line = json.loads(Path(samples[0]).read_text("utf-8").splitlines()[0])
print(json.dumps({
    "folders": [path.name for path in folder.iterdir()],
    "sanitized": sanitize_model_name(model),
    "results": len(results),
    "tasks": sorted(get_file_task_name(Path(name).name) for name in samples),
    "times": sorted({get_file_datetime(Path(name).name).removesuffix(".json") for name in names}),
    "latest": get_latest_filename(results) == results[0],
    "hashes": [hash_string(line["arguments"]["gen_args_0"]["arg_0"]) == line["prompt_hash"],
               hash_string(str(line["target"])) == line["target_hash"]],
}))
"""

READ_EEE = """
import json, sys
from pathlib import Path
from every_eval_ever.converters.inspect.adapter import InspectAIAdapter
from every_eval_ever.converters.lm_eval.adapter import LMEvalAdapter
from every_eval_ever.converters.lm_eval.instance_level_adapter import LMEvalInstanceLevelAdapter
folder = Path(sys.argv[1])
(results,) = folder.glob("*/results_*.json")
logs = LMEvalAdapter().transform_from_file(results, {})
samples = sorted(folder.glob("*/samples_Maze_*.jsonl"))[0]
rows = LMEvalInstanceLevelAdapter().transform_samples(samples, "evaluation", "org/demo", "Maze")
(log,) = folder.glob("*.eval")
of_inspect = InspectAIAdapter().transform_from_file(log, {"file_uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"})
print(json.dumps({
    "scores": {each.evaluation_name: each.score_details.score for log in logs for each in log.evaluation_results},
    "errors": [log.evaluation_results[0].score_details.uncertainty.num_samples for log in logs],
    "rows": [row.evaluation.score for row in rows],
    "model": of_inspect.model_info.id,
    "inspect": of_inspect.evaluation_results[0].score_details.score,
}))
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of two bootcamps with repeats, a failure, an answer without a verdict, and hostile texts."""
    path = write_run(
        tmp_path / "run",
        {"Maze": [[1.0, 0.0], [1.0, 1.0], [0.0]], "Sudoku": [[1.0, None], [0.0, 0.0], [1.0, 1.0]]},
        repeats=2,
        started="2026-01-02T03:04:05+00:00",
        ended="2026-01-02T04:04:05+00:00",
    )
    for details in (path / "details").iterdir():
        name = details.stem
        details.write_text(
            details.read_text().replace(f"{name}: what is", f"{json.dumps(PROMPT)[1:-1]} {name}: what is")
        )
    failure = FailureRecord(
        file="Maze.jsonl", row=2, repeat=1, id=2, data_source="Maze", kind="timeout", last_error=PROMPT, attempts=2
    )
    (path / "failures.jsonl").write_bytes(encode_line(failure))
    arguments = {"model_name": MODEL, "test_dir": "/data/tests", "api_key": "sk-secret", "temperature": 0.6}
    (path / "eval_args.json").write_text(json.dumps(arguments | {"max_tokens": 100, "top_k": 20}))
    return path


def read_by(script: str, *words: str | Path, folder: Path) -> Any:
    """What a script with other tools prints."""
    environment = os.environ | {"HOME": str(folder), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env=environment,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_inspect_ai_reads_the_log(run_dir: Path, tmp_path: Path) -> None:
    """Its reader and its frames have every sample with epoch, score, stop and error, and the figures of the summary."""
    (log,) = open_run(run_dir).export("inspect", tmp_path).files
    read = read_by(READ_INSPECT, log, folder=tmp_path)
    summary = open_run(run_dir).summary
    assert (read["status"], read["model"]) == ("success", MODEL)
    assert read["config"] == {"temperature": 0.6, "max_tokens": 100, "top_k": 20}
    assert read["metrics"]["verify_score"]["mean"] == pytest.approx(summary.avg_score)
    assert read["metrics"]["bootcamps"] == {"Mazebootcamp": 0.5, "Sudokubootcamp": pytest.approx(2 / 3)}
    samples = {tuple(sample[:2]): sample[2:] for sample in read["samples"]}
    assert len(samples) == 12
    assert samples[1, 2] == [0.0, "stop", None, "Maze.jsonl", 0]
    assert samples[4, 2][0] is None
    score, _, error, file, row = samples[3, 2]
    assert (score, file, row) == (None, "Maze.jsonl", 2)
    assert error.startswith("timeout: <script>")
    assert read["one"] == "4"
    assert read["summaries"] == 12
    assert read["reductions"] == [[1, 0.5], [2, 1.0], [3, 0.0], [4, 1.0], [5, 0.0], [6, 1.0]]
    assert read["frame"] == [12, [0.0] * 4 + [1.0] * 6]


@pytest.fixture
def inspect_view(tmp_path: Path) -> Iterator[str]:
    """The address of `inspect view` over the folder logs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    (tmp_path / "logs").mkdir()
    program = Path(sys.executable).with_name("inspect")
    process = subprocess.Popen(
        [program, "view", "start", "--host", "127.0.0.1", "--port", str(port), "--log-dir", str(tmp_path / "logs")],
        env=os.environ | {"HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            assert time.monotonic() < deadline, "inspect view did not start"
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_inspect_view_shows_the_log(run_dir: Path, tmp_path: Path, inspect_view: str) -> None:
    """Its page lists the samples and opens one, without an error, and runs nothing of what they hold."""
    (log,) = open_run(run_dir).export("inspect", tmp_path / "logs").files
    with urlopen(f"{inspect_view}/api/logs", timeout=_PATIENCE_S) as reply:  # noqa: S310 - http
        listed = json.load(reply)
    assert [entry["name"].rpartition("/")[2] for entry in listed["files"]] == [log.name]
    complaints: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(f"{inspect_view}/#/logs/{log.name}")
        page.get_by_text("12 rows").wait_for(timeout=1000 * _PATIENCE_S)
        text = page.inner_text("body")
        page.get_by_text("Maze: what is 0?").first.click()
        page.get_by_text("Sample 1 (Epoch 1)").wait_for(timeout=1000 * _PATIENCE_S)
    assert complaints == []
    assert MODEL in text
    assert "verify_score" in text


def test_lm_eval_finds_the_files(run_dir: Path, tmp_path: Path) -> None:
    """Its helpers take folder, tasks and times from the names, and its hashes are those in the lines."""
    open_run(run_dir).export("lm-eval", tmp_path / "out")
    read = read_by(READ_LM_EVAL, tmp_path / "out", "org/demo", folder=tmp_path)
    assert read == {
        "folders": ["vllm__org__demo__b__1"],
        "sanitized": "org__demo",
        "results": 1,
        "tasks": ["Maze", "Sudoku"],
        "times": ["2026-01-02T03-04-05.000000"],
        "latest": True,
        "hashes": [True, True],
    }


def test_every_eval_ever_converts_both(run_dir: Path, tmp_path: Path) -> None:
    """Its converters take the files of lm-eval, their samples, and the log of inspect_ai."""
    if sys.version_info < (3, 12):
        pytest.skip("every-eval-ever needs Python 3.12")
    run = open_run(run_dir)
    run.export("lm-eval", tmp_path / "out")
    run.export("inspect", tmp_path / "out")
    read = read_by(READ_EEE, tmp_path / "out", folder=tmp_path)
    assert read["scores"] == {"Maze": 0.5, "Sudoku": pytest.approx(2 / 3)}
    assert read["errors"] == [3, 3]
    assert read["rows"] == [0.5, 1.0, 0.0]
    assert read["inspect"] == pytest.approx(run.summary.avg_score)


def test_trackio_keeps_what_is_logged(run_dir: Path, tmp_path: Path, run_bootcamp: RunBootcamp) -> None:
    """Two checkpoints under one name are one run with two steps in its database, secrets masked."""
    folder = tmp_path / "trackio"
    for step in ("100", "200"):
        done = run_bootcamp(
            *("report", run_dir, "--format", "csv", "--quiet"),
            *("--tracker", "trackio:maths", "--tracker-step", step, "--tracker-run", "r1"),
            env={"TRACKIO_DIR": str(folder)},
        )
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout.startswith("bootcamp,avg_score")
    with sqlite3.connect(folder / "maths.db") as database:
        logged = database.execute("select run_id, run_name, step, metrics from metrics order by step").fetchall()
        ((config,),) = database.execute("select config from configs").fetchall()
    database.close()
    assert [entry[1:3] for entry in logged] == [("r1", 100), ("r1", 200)]
    assert len({entry[0] for entry in logged}) == 1
    assert json.loads(logged[0][3])["score/Mazebootcamp"] == 0.5
    assert (json.loads(config)["api_key"], json.loads(config)["temperature"]) == ("***", 0.6)


def test_pandas_and_arrow_read_parquet(run_dir: Path, tmp_path: Path) -> None:
    """Its reader takes the Parquet file with the types that it was written with."""
    import pandas as pd  # noqa: PLC0415 - heavy, and used here alone

    (path,) = open_run(run_dir).export("parquet", tmp_path).files
    frame = pd.read_parquet(path)
    assert (len(frame), frame["score"].sum(), frame["failure"].value_counts()["timeout"]) == (12, 6.0, 1)
