"""`bootcamp export` and `Run.export`: the samples in the forms of other tools, whole or not at all."""

import csv
import io
import json
import math
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli import BootcampError, open_run
from bootcamp_cli.analysis.frames import SAMPLE_COLUMNS, sample_batches
from bootcamp_cli.errors import UsageError
from bootcamp_cli.events import Event, Warned
from bootcamp_cli.exports.formats import EXPORTS, FileExport
from bootcamp_cli.settings.stored import masked_eval_args
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.text import is_formula
from bootcamp_cli.types import FailureRecord, Record, encode_line, encode_record
from tests.conftest import RunBootcamp
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_fixtures import FIXTURES
from tests.test_store_journal import a_record
from tests.test_text import ANY_TEXT

NASTY = '=HYPERLINK("http://x.test")\r\n\x1b[31m<script>alert(1)</script>,"\u202e数独\ud800'


def export(run_dir: Path, form: str, out: Path) -> list[Path]:
    """The files of an export."""
    return list(open_run(run_dir).export(form, out).files)


def one(files: Iterable[Path]) -> Path:
    """The only file."""
    (file,) = files
    return file


def records_of(folder: Path, records: Iterable[Record], **manifest: Any) -> Path:
    """A run of one test file with these records, in this order."""
    records = list(records)
    n = max(record.row for record in records) + 1
    repeats = max(record.repeat for record in records) + 1
    run_dir = write_run(folder / "run", {"Sums": [[None]] * n}, repeats=repeats, **manifest)
    (run_dir / "details" / "Sums.jsonl").write_bytes(b"".join(map(encode_record, records)))
    return run_dir


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A run with texts that act where they are not handled as text, values that JSON lacks, and a failure."""
    answers = [
        replace(
            a_record(0), prompt=NASTY, output=NASTY, reasoning_content=NASTY, ground_truth={"x": math.nan, "y": NASTY}
        ),
        replace(a_record(1), repeat=0, score=0.0, finish_reason="length", extracted_output=[math.inf], id=1),
        replace(a_record(1), repeat=1, score=0.5, id=1, extracted_output=NASTY),
        replace(a_record(2), score=None, failure="verifier_error", failure_message=NASTY, id=2),
    ]
    run_dir = records_of(tmp_path, answers, complete=False, started="2026-01-02T03:04:05+00:00")
    failed = FailureRecord(
        file="Sums.jsonl", row=0, repeat=1, id=0, data_source="Sums", kind="timeout", last_error=NASTY, attempts=3
    )
    (run_dir / "failures.jsonl").write_bytes(encode_line(failed))
    arguments = {
        "model_name": "org/" + NASTY[:12],
        "test_dir": "/data/tests",
        "api_key": "sk-secret",
        "temperature": 0.6,
    }
    arguments |= {"url": "http://user:pass@host/v1?api_key=hidden", "headers": {"X-Key": "hidden"}, "max_tokens": 9}
    (run_dir / "eval_args.json").write_text(json.dumps(arguments))
    return run_dir


def test_csv_has_a_visible_line_for_each_sample_and_no_formulas(nasty: Path, tmp_path: Path) -> None:
    """Each sample is one line of printable text, and no cell starts what a spreadsheet would run."""
    text = one(export(nasty, "csv", tmp_path)).read_text("utf-8")
    lines = text.splitlines()
    assert len(lines) == 1 + 5
    assert all(line.isprintable() for line in lines)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == tuple(SAMPLE_COLUMNS)
    assert not any(is_formula(cell) for row in rows for cell in row.values())
    assert [row["score"] for row in rows] == ["1.0", "0.0", "0.5", "", ""]
    assert [row["failure"] for row in rows] == ["", "", "", "verifier_error", "timeout"]
    assert rows[0]["output"].startswith("'=HYPERLINK")


def test_jsonl_is_strict_and_has_the_texts_as_they_are(nasty: Path, tmp_path: Path) -> None:
    """Texts are not changed, values are JSON, and what JSON and UTF-8 cannot hold is null or an escape."""
    path = one(export(nasty, "jsonl", tmp_path))
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text("utf-8").splitlines()]
    assert rows[0]["output"] == NASTY.replace("\ud800", r"\ud800")
    assert rows[0]["ground_truth"] == {"x": None, "y": rows[0]["output"]}
    assert [row["extracted_output"] for row in rows[:3]] == ["4", [None], rows[0]["output"]]
    assert [(row["row"], row["repeat"], row["attempts"]) for row in rows] == [
        (0, 0, 1),
        (1, 0, 1),
        (1, 1, 1),
        (2, 0, 1),
        (0, 1, 3),
    ]
    assert (rows[4]["output"], rows[4]["failure"], rows[4]["failure_message"][:4]) == (None, "timeout", "=HYP")


def test_parquet_has_the_columns_of_frames_with_types(nasty: Path, tmp_path: Path) -> None:
    """Parquet holds what the frames do."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    table = parquet.read_table(one(export(nasty, "parquet", tmp_path)))
    assert table.column_names == list(SAMPLE_COLUMNS)
    assert {name: str(table.schema.field(name).type) for name in ("id", "row", "score", "output_len", "output")} == {
        "id": "string",
        "row": "int64",
        "score": "double",
        "output_len": "int64",
        "output": "string",
    }
    rows = table.to_pylist()
    assert [row["score"] for row in rows] == [1.0, 0.0, 0.5, None, None]
    assert rows[0]["prompt"] == NASTY.replace("\ud800", r"\ud800")
    assert json.loads(rows[2]["extracted_output"]) == NASTY


def test_a_log_for_inspect_has_its_members(nasty: Path, tmp_path: Path) -> None:
    """Samples are members by number and epoch, with scores, stops, reasoning, errors; short forms and means beside."""
    path = one(export(nasty, "inspect", tmp_path))
    assert path.name.startswith("2026-01-02T03-04-05+00-00_tests_")
    with zipfile.ZipFile(path) as log:
        assert log.testzip() is None
        names = set(log.namelist())
        samples = {f"samples/{n}_epoch_{e}.json" for n, e in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1))}
        whole = {"_journal/start.json", "summaries.json", "reductions.json", "header.json"}
        assert names == samples | whole
        read = {name: json.loads(log.read(name), parse_constant=pytest.fail) for name in names}
    first, failed = read["samples/1_epoch_1.json"], read["samples/1_epoch_2.json"]
    assert first["scores"]["verify_score"]["value"] == 1.0
    assert [part["type"] for part in first["messages"][1]["content"]] == ["reasoning", "text"]
    assert first["metadata"]["file"] == "Sums.jsonl"
    assert read["samples/2_epoch_1.json"]["output"]["choices"][0]["stop_reason"] == "max_tokens"
    assert failed["error"]["message"].startswith("timeout: =HYPERLINK")
    assert failed["error"]["traceback_ansi"].isprintable()
    assert failed["output"]["choices"] == []
    assert read["samples/3_epoch_1.json"]["scores"] == {}
    assert read["samples/3_epoch_1.json"]["metadata"]["failure"] == "verifier_error"
    assert len(read["summaries.json"]) == 5
    assert [(mean["sample_id"], mean["value"]) for mean in read["reductions.json"][0]["samples"]] == [(1, 1), (2, 0.25)]
    header = read["header.json"]
    assert (header["status"], header["eval"]["dataset"]["sample_ids"]) == ("started", [1, 2, 3])
    assert header["results"]["scores"][0]["metrics"]["mean"]["value"] == 0.625


def test_lm_eval_has_results_and_samples(nasty: Path, tmp_path: Path) -> None:
    """Names cannot leave the directory; a line has all repeats of a question; failed samples are in none."""
    files = export(nasty, "lm-eval", tmp_path / "out")
    folder = tmp_path / "out" / "org__=HYPERLINK(__"
    assert [str(path.relative_to(folder)) for path in files] == [
        "results_2026-01-02T03-04-05.000000.json",
        "samples_Sums_2026-01-02T03-04-05.000000.jsonl",
    ]
    samples = [json.loads(line, parse_constant=pytest.fail) for line in files[1].read_text("utf-8").splitlines()]
    assert [(line["doc_id"], line["score"], len(line["resps"][0])) for line in samples] == [
        (0, 1.0, 1),
        (1, 0.25, 2),
        (2, None, 1),
    ]
    results = json.loads(files[0].read_text("utf-8"))
    assert results["results"]["Sums"]["score,none"] == 0.625
    assert results["n-samples"]["Sums"] == {"original": 3, "effective": 2}
    assert results["configs"]["Sums"]["generation_kwargs"] == {"temperature": 0.6, "max_gen_toks": 9}
    assert list((tmp_path / "out").iterdir()) == [folder]


@pytest.mark.parametrize("form", EXPORTS)
def test_no_export_holds_a_secret(form: str, nasty: Path, tmp_path: Path) -> None:
    """Key, credentials and header values of an eval_args.json stay masked, whoever wrote it."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    for path in export(nasty, form, tmp_path / "out" if form == "lm-eval" else tmp_path):
        contents = [path.read_bytes()]
        if path.suffix == ".eval":
            with zipfile.ZipFile(path) as log:
                contents = [log.read(name) for name in log.namelist()]
        assert not any(secret in content for content in contents for secret in (b"sk-secret", b"user:pass", b"hidden"))


def test_what_any_program_wrote_is_masked() -> None:
    """Keys, headers and URLs are masked by the name of their parameter; unknown names by how they look."""
    assert masked_eval_args(
        {
            "api_key": "sk-1",
            "url": "http://u:p@[host/v1",
            "headers": '{"X": "y"}',
            "extra_body": {"token": "t", "n": 1},
            "wandb_api_key": "w",
            "proxy": "http://u:p@proxy:1",
            "sys_prompt": "write http://u:p@x",
            "template": "r1",
            "limit": None,
        }
    ) == {
        "api_key": "***",
        "url": "http://[host/v1",
        "headers": "***",
        "extra_body": {"token": "***", "n": 1},
        "wandb_api_key": "***",
        "proxy": "http://***@proxy:1",
        "sys_prompt": "write http://u:p@x",
        "template": "r1",
        "limit": None,
    }
    assert masked_eval_args({"api_key": "EMPTY"}) == {"api_key": "EMPTY"}


@pytest.mark.parametrize("form", EXPORTS)
def test_the_same_run_gives_the_same_bytes(form: str, nasty: Path, tmp_path: Path) -> None:
    """Two exports of a run, and one of a copy of it elsewhere, are equal byte by byte, and have equal names."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    copy = Path(shutil.copytree(nasty, tmp_path / "elsewhere" / nasty.name))
    made = []
    for number, run_dir in enumerate((nasty, nasty, copy)):
        out = tmp_path / str(number)
        out.mkdir()
        made.append({path.relative_to(out): path.read_bytes() for path in export(run_dir, form, out)})
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("name", [path.name for path in sorted((FIXTURES / "runs").iterdir())])
def test_all_kinds_of_run_directories_are_exported(name: str, form: str, tmp_path: Path) -> None:
    """Killed, failed, unverified, rescored runs and those of run_eval.py are exported, and stay as they were."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    run_dir = Path(shutil.copytree(FIXTURES / "runs" / name, tmp_path / "runs" / name))
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    run = open_run(run_dir)
    exported = run.export(form, tmp_path / "out" if form == "lm-eval" else tmp_path)
    assert exported.n_samples == len(run.samples()) + len(run.failures())
    assert all(path.stat().st_size for path in exported.files)
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o400 for path in exported.files)


def test_files_of_run_eval_have_equal_rows(tmp_path: Path) -> None:
    """Directories of run_eval.py, whose files have the same row ids, keep their samples apart by file."""
    run_dir = write_run_of_run_eval(
        tmp_path / "m_t_20260101_120000", {"Maze": [[1.0], [0.0]], "Sudoku": [[1.0], [1.0]]}
    )
    path = one(export(run_dir, "inspect", tmp_path))
    assert path.name.startswith("2026-01-01T12-00-00+00-00_")
    with zipfile.ZipFile(path) as log:
        kept = [json.loads(log.read(f"samples/{n}_epoch_1.json"))["metadata"] for n in range(1, 5)]
    assert [(each["file"], each["row"], each["data_source"]) for each in kept] == [
        ("Maze.jsonl", 0, "Maze"),
        ("Maze.jsonl", 1, "Maze"),
        ("Sudoku.jsonl", 0, "Sudoku"),
        ("Sudoku.jsonl", 1, "Sudoku"),
    ]


def test_tasks_of_one_data_source_have_names_of_their_own(tmp_path: Path) -> None:
    """A data source in two files is two tasks; a name that is taken gets a number."""
    run_dir = write_run(tmp_path / "run", {"One": [[1.0]], "Two": [[0.0]], "Six": [[1.0]]})
    for name, data_source in (("One", "Sums"), ("Two", "Sums"), ("Six", "Sums_Two")):
        details, manifest = run_dir / "details" / f"{name}.jsonl", run_dir / "manifest.json"
        for path, key in ((details, '"data_source":'), (manifest, "[[")):
            text = path.read_text("utf-8").replace(f'{key}"{name}"', f'{key}"{data_source}"')
            path.write_text(text, encoding="utf-8")
    files = export(run_dir, "lm-eval", tmp_path / "out")
    assert sorted(json.loads(files[0].read_bytes())["results"]) == ["Sums_One", "Sums_Two", "Sums_Two_2"]
    assert len(files) == 4


def test_a_superseded_answer_is_not_exported(tmp_path: Path) -> None:
    """Of an answer that waited for its verdict and the same with it, the later line counts; an open one stays."""
    waiting = [replace(a_record(row), score=None, failure="pending", failure_message="", id=row) for row in range(3)]
    records = [*waiting, replace(a_record(1), id=1), replace(a_record(0), id=0, score=0.0)]
    run_dir = records_of(tmp_path, records, complete=False)
    batches = list(sample_batches(RunDir(run_dir), ["row", "score", "failure"]))
    assert batches == [{"row": [2, 1, 0], "score": [None, 1.0, 0.0], "failure": ["pending", None, None]}]


def test_a_verdict_that_comes_while_reading_gives_no_second_row(tmp_path: Path) -> None:
    """What is appended while an export reads is left out, as it may be the verdict of an answer that it has shown."""
    waiting = [replace(a_record(row), score=None, failure="pending", failure_message="", id=row) for row in range(2000)]
    run_dir = records_of(tmp_path, waiting, complete=False)
    details = run_dir / "details" / "Sums.jsonl"
    filler = "x" * 4000
    details.write_bytes(b"".join(encode_record(replace(record, output=filler)) for record in waiting))
    rows = []
    for n, batch in enumerate(sample_batches(RunDir(run_dir), ["row"])):
        if n == 0:
            with details.open("ab") as file:
                file.write(encode_record(replace(a_record(0), id=0)))
        rows += batch["row"]
    assert rows == list(range(2000))


def test_a_run_that_is_not_complete_says_so(nasty: Path, tmp_path: Path) -> None:
    """What there is so far is exported, with a warning."""
    events: list[Event] = []
    open_run(nasty).export("csv", tmp_path / "x.csv", events.append)
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert warnings == [f"{nasty}: the run is not complete: the 5 samples that it has so far are exported"]


def test_an_export_replaces_a_file_once_it_is_whole(nasty: Path, tmp_path: Path) -> None:
    """A damaged run directory leaves the older export, and nothing beside it; a link is followed."""
    target = tmp_path / "kept.csv"
    target.write_text("older")
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    with (nasty / "details" / "Sums.jsonl").open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(BootcampError, match=r"details/Sums.jsonl:5"):
        export(nasty, "csv", link)
    assert target.read_text() == "older"
    (nasty / "details" / "Sums.jsonl").write_bytes(encode_record(a_record(0)))
    assert export(nasty, "csv", link) == [target]
    assert link.is_symlink()
    assert target.read_text().startswith("file,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.csv", "link.csv", "run"]


def test_places_that_cannot_be_written_are_wrong_use(nasty: Path, tmp_path: Path) -> None:
    """The run directory, devices and missing directories are refused in one line."""
    inside = nasty / "details" / "Sums.jsonl"
    for out, what in (
        (inside, "within the run directory"),
        (nasty, "within the run directory"),
        (Path(os.devnull), "not a file that can be replaced"),
        (tmp_path / "none" / "x.csv", "cannot be written: No such file"),
    ):
        with pytest.raises(UsageError, match=what):
            export(nasty, "csv", out)
    with pytest.raises(UsageError, match="within the run directory"):
        export(nasty, "lm-eval", nasty / "out")
    assert inside.read_bytes().count(b"\n") == 4


def test_a_model_named_like_the_run_directory_is_not_exported_into_it(tmp_path: Path) -> None:
    """Beside the run directory the folder of the model would be that directory: refused, and nothing is left there."""
    run_dir = write_run_of_run_eval(tmp_path / "same", {"Sums": [[1.0]]}, model_name="same")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="within the run directory"):
        export(run_dir, "lm-eval", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_text_goes_to_stdout(nasty: Path, tmp_path: Path, run_bootcamp: RunBootcamp) -> None:
    """`--out -` writes to stdout what a file would have, and the conversation goes to stderr."""
    assert [name for name, form in EXPORTS.items() if isinstance(form, FileExport) and form.is_text] == ["csv", "jsonl"]
    done = run_bootcamp("export", nasty, "--format", "csv", "--out", "-")
    assert done.returncode == 0
    assert done.stdout.encode() == one(export(nasty, "csv", tmp_path)).read_bytes()
    assert "the run is not complete" in done.stderr


def test_the_command_tells_the_files(nasty: Path, tmp_path: Path, call_bootcamp: RunBootcamp) -> None:
    """Paths are the result, as lines or as JSON."""
    done = call_bootcamp("export", nasty, "--format", "jsonl", "--quiet")
    assert (done.stdout.strip(), done.stderr) == (str(tmp_path / "run.jsonl"), "")
    done = call_bootcamp("export", nasty, "--format", "csv", "--out", "a.csv", "--json", "--quiet")
    files = [str(tmp_path / "a.csv")]
    assert json.loads(done.stdout) == {"run_dir": str(nasty), "format": "csv", "files": files, "n_samples": 5}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--format", "xml"), "must be one of csv, jsonl, parquet, inspect, lm-eval"),
        (("--format", "inspect", "--out", "-"), "inspect is not text"),
        (("--format", "lm-eval", "--out", "-"), "lm-eval is not text"),
        ((), "missing option"),
    ],
)
def test_wrong_use_is_exit_2(words: tuple[str, ...], what: str, nasty: Path, call_bootcamp: RunBootcamp) -> None:
    """What cannot be done is said in one line, before anything is read."""
    done = call_bootcamp("export", nasty, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert done.stderr.count("\n") == 1


def test_stdout_is_for_one_of_samples_and_json(nasty: Path, call_bootcamp: RunBootcamp) -> None:
    """`--out -` with `--json` is refused, as JSON."""
    done = call_bootcamp("export", nasty, "--format", "csv", "--out", "-", "--json")
    assert done.returncode == 2
    assert "not the JSON of --json" in json.loads(done.stdout)["error"]["message"]


def test_a_missing_extra_is_exit_2(nasty: Path, call_bootcamp: RunBootcamp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error names what to install."""
    monkeypatch.setattr("bootcamp_cli.exports.formats.find_spec", lambda _: None)
    done = call_bootcamp("export", nasty, "--format", "parquet")
    assert done.returncode == 2
    assert "pip install 'bootcamp-cli[parquet]'" in done.stderr


@settings(max_examples=25)
@given(st.lists(ANY_TEXT, min_size=1, max_size=4), st.sampled_from(["csv", "jsonl"]))
def test_any_text_is_one_line(texts: list[str], form: str) -> None:
    """Whatever an answer holds, its sample is one line that can be read back."""
    import tempfile  # noqa: PLC0415 - a folder for each example

    with tempfile.TemporaryDirectory() as folder:
        records = [replace(a_record(row), output=text, id=text) for row, text in enumerate(texts)]
        (Path(folder) / "run" / "details").mkdir(parents=True)
        (Path(folder) / "run" / "details" / "a.jsonl").write_bytes(b"".join(map(encode_record, records)))
        stream = io.BytesIO()
        open_run(Path(folder) / "run").export(form, stream)
        lines = stream.getvalue().decode().split("\n")
        assert len(lines) == len(texts) + 1 + (form == "csv")
        if form == "jsonl":
            outputs = [json.loads(line)["output"] for line in lines[:-1]]
            assert outputs == [text.encode("utf-8", "backslashreplace").decode() for text in texts]
