"""Samples and failures as DataFrames: what the reports count, one row each, in compact columns of documented types."""

import json
import math
import re
import shutil
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.analysis import frames
from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.analysis.frames import FAILURE_COLUMNS, SAMPLE_COLUMNS, failures_frame, samples_frame
from bootcamp_cli.cli.docs import README
from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.store.records import make_record, with_verdict
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import Answer, Record, Sample, Verdict, encode_line
from tests.test_fixtures import EVERY, FIXTURES
from tests.test_store_journal import a_failure, a_record
from tests.test_store_legacy import ONE_HALF, as_run_eval_writes

EVERYTHING = list(SAMPLE_COLUMNS)
TEXTS = [name for name, column in SAMPLE_COLUMNS.items() if column.is_text]
SHOWN = {"id": "int64"}
"""How pandas shows the types that it does not name as the table does; an id that is an integer is int64."""


def details(folder: Path, lines: Iterable[Any], file: str = "a.jsonl") -> RunDir:
    """A run directory without a manifest whose details file has these lines: records, objects or bytes."""
    path = folder / "details" / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(as_line, lines)))
    return RunDir(folder)


def as_line(line: Any) -> bytes:
    """A line of details as bytes."""
    if isinstance(line, bytes):
        return line
    return encode_line(line) if isinstance(line, Record) else json.dumps(line).encode() + b"\n"


def verified(record: Record) -> Record:
    """The record with a verdict after all."""
    return with_verdict(record, Verdict(score=0.5, extracted=None))


def fixture_copy(name: str, folder: Path) -> RunDir:
    """A fixture's run directory, to be changed."""
    return RunDir(Path(shutil.copytree(FIXTURES / "runs" / name, folder / name)))


def test_a_record_has_its_value_in_every_column(tmp_path: Path) -> None:
    """Each column has what the record says, texts decoded, JSON values as JSON text."""
    sample = Sample(
        file="a.jsonl", row=3, repeat=2, id="x-3", data_source="Sums", prompt="2 + 2?\n数", ground_truth=[4]
    )
    answer = Answer(
        text='"4"\ud800',
        reasoning="think",
        finish_reason="stop",
        usage={"prompt_tokens": 5, "completion_tokens": 7, "details": {"x": [1]}},
        model="m",
    )
    record = make_record(sample, answer, Verdict(score=0.25, extracted={"a": "数"}), attempts=2, latency_s=1.5)
    frame = samples_frame(details(tmp_path, [record]), EVERYTHING)
    [values] = frame.astype(object).to_dict("records")
    assert math.isnan(values.pop("failure"))
    assert pd.isna(values.pop("failure_message"))
    assert json.loads(values.pop("extracted_output")) == {"a": "数"}
    assert values == {
        "file": "a.jsonl",
        "row": 3,
        "repeat": 2,
        "id": "x-3",
        "data_source": "Sums",
        "score": 0.25,
        "output_len": 7,
        "output_len_estimated": False,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "model": "m",
        "attempts": 2,
        "latency_s": 1.5,
        "prompt": "2 + 2?\n数",
        "output": '"4"\ud800',
        "reasoning_content": "think",
        "ground_truth": "[4]",
    }


@pytest.mark.parametrize("name", EVERY)
def test_frames_have_what_the_reports_count(name: str) -> None:
    """Of every kind of run directory the frames have the counts, sums and failures of its summary, group by group."""
    run_dir = RunDir(FIXTURES / "runs" / name)
    samples, failures = samples_frame(run_dir, EVERYTHING), failures_frame(run_dir)
    groups = read_run(run_dir).summary.groups
    assert (len(samples), len(failures)) == (sum(g.n_answered for g in groups), sum(g.n_failed for g in groups))
    for group in groups:
        own = samples[(samples.file == group.file) & (samples.data_source == group.data_source)]
        assert len(own) == group.n_answered
        assert (own.score.count(), own.score.sum()) == (group.n_scored, group.score_sum)
        assert own.output_len[own.score.notna()].sum() == group.len_sum
        assert (own.finish_reason == "length").sum() == group.n_truncated
        assert own.output_len_estimated.sum() == group.n_len_estimated
        assert {kind: n for kind, n in own.failure.value_counts().items() if n} == group.unverified
        lost = failures[(failures.file == group.file) & (failures.data_source == group.data_source)]
        assert {kind: n for kind, n in lost.kind.value_counts().items() if n} == group.failures
    for frame in (samples, failures):
        assert frame.sort_values(["file", "row", "repeat"], kind="stable").index.tolist() == list(range(len(frame)))


def test_the_later_line_of_a_sample_counts(tmp_path: Path) -> None:
    """Of an answer that waited for its verdict and the same with it, the later line counts, in any order of rows."""
    run_dir = fixture_copy("unverified", tmp_path)
    before = samples_frame(run_dir)
    pending = before[before.failure == "verifier_crash"]
    path = run_dir.details / str(pending.file.iloc[0])
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    [again, *_] = [line for line in lines if line.get("failure") == "verifier_crash"]
    again.pop("failure")
    again.pop("failure_message", None)
    with path.open("ab") as file:
        file.write(as_line(again | {"score": 0.5}))
    after = samples_frame(run_dir)
    assert len(after) == len(before) == read_run(run_dir).summary.n_answered
    place = before.index[(before.file == path.name) & (before.row == again["row"])][0]
    assert after.score[place] == 0.5
    rest = [name for name in before.columns if name not in ("score", "failure", "failure_message")]
    pd.testing.assert_frame_equal(after[rest], before[rest])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["verifier_crash", "unscored", None]))))
def test_frames_of_any_lines_count_as_the_reports_do(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, int, Any]]
) -> None:
    """Whatever records of whatever samples follow each other in a foreign file, frame and summary count the same."""
    records = [replace(a_record(row, failure=failure), repeat=repeat) for row, repeat, failure in lines]
    run_dir = details(tmp_path_factory.mktemp("any"), records)
    frame, summary = samples_frame(run_dir), read_run(run_dir).summary
    assert (len(frame), frame.score.count()) == (summary.n_answered, summary.n_scored)
    assert {kind: n for kind, n in frame.failure.value_counts().items() if n} == summary.unverified
    places = list(zip(frame.row, frame.repeat, strict=True))
    assert places == sorted(places)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """The beginning of a record at the end of a file is no sample yet."""
    run_dir = details(tmp_path, [a_record(0), as_line(a_record(1))[:-9]])
    assert samples_frame(run_dir).row.tolist() == [0]


def test_each_record_of_a_line_is_a_row(tmp_path: Path) -> None:
    """Half a record of the reference script has its score and no texts, the next one of its line a row of its own."""
    run_dir = details(tmp_path, [as_run_eval_writes(ONE_HALF).encode()])
    frame = samples_frame(run_dir, EVERYTHING)
    assert [frame[name].tolist() for name in ("row", "id", "score")] == [[0, 1, 2], [0, 1, 2], [0.0, 1.0, 0.0]]
    assert frame.output.isna().tolist() == [False, True, False]


@pytest.mark.parametrize("damage", ["unreadable", "no object", "foreign row", "twice", "wrong type"])
def test_errors_are_those_of_the_reports(tmp_path: Path, damage: str) -> None:
    """What a report refuses is refused in the same words."""
    run_dir = fixture_copy("complete", tmp_path)
    path = run_dir.detail_files()[0]
    first = json.loads(path.read_bytes().splitlines()[0])
    line: Any = {
        "unreadable": b"{]\n",
        "no object": [1],
        "foreign row": first | {"row": 1000},
        "twice": first,
        "wrong type": first | {"row": 1000, "output_len": "many"},
    }[damage]
    with path.open("ab") as file:
        file.write(as_line(line))
    with pytest.raises(RunDirectoryError) as of_report:
        read_run(run_dir)
    with pytest.raises(RunDirectoryError) as of_frame:
        samples_frame(run_dir, ["score"])
    assert str(of_frame.value) == str(of_report.value)


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    """By default there is everything but the texts; named columns come in the order of the names, each once."""
    run_dir = details(tmp_path, [a_record(1), a_record(0)])
    assert list(samples_frame(run_dir).columns) == [name for name in SAMPLE_COLUMNS if name not in TEXTS]
    assert TEXTS == ["prompt", "output", "reasoning_content", "ground_truth", "extracted_output"]
    assert list(samples_frame(run_dir, ["output", "score", "output"]).columns) == ["output", "score"]
    assert samples_frame(run_dir, []).shape == (2, 0)


def test_an_unknown_column_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A name that does not exist, or one name in place of a list, is a UsageError that lists the names."""
    run_dir = details(tmp_path, [])
    with pytest.raises(UsageError, match=r"no column 'scores'; the columns are file, row, .*, extracted_output$"):
        samples_frame(run_dir, ["score", "scores"])
    assert list(samples_frame(run_dir, "score").columns) == ["score"]


@pytest.mark.parametrize("lines", [[], [a_record(0)], [{"id": 0, "score": 1}]], ids=["empty", "whole", "foreign"])
def test_the_types_are_those_of_the_table(tmp_path: Path, lines: list[Any]) -> None:
    """Whatever the records hold or lack, the columns have the types that are declared."""
    run_dir = details(tmp_path, lines)
    found = {name: str(dtype) for name, dtype in samples_frame(run_dir, EVERYTHING).dtypes.items()}
    assert found == {name: SHOWN.get(column.dtype, column.dtype) for name, column in SAMPLE_COLUMNS.items()}
    found = {name: str(dtype) for name, dtype in failures_frame(run_dir).dtypes.items()}
    assert found == {name: SHOWN.get(dtype, dtype) for name, dtype in FAILURE_COLUMNS.items()}


def test_docstring_and_readme_have_the_columns() -> None:
    """The module's docstring and README.md have name and type of every column, in order."""
    columns = [(column.name, column.dtype) for column in SAMPLE_COLUMNS.values()] + [*FAILURE_COLUMNS.items()]
    declared = [(name, SHOWN.get(dtype, dtype)) for name, dtype in columns]
    assert re.findall(r"^    (\w+) +(\w+)  ", frames.__doc__ or "", re.MULTILINE) == declared
    section = README.read_text("utf-8").partition("### Columns of the frames\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \| `(\w+)`", section, re.MULTILINE) == declared


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        ([3, 1, 2], "int64"),
        (["c", "a", "b"], "object"),
        ([1, "a", 2.5], "object"),
        ([1, True, 0], "object"),
        ([1, 2**63, -(2**63)], "object"),
    ],
)
def test_ids_stay_what_they_are(tmp_path: Path, ids: list[Any], dtype: str) -> None:
    """Ids of any type keep type and value; where all are integers that fit, the column is one of integers."""
    frame = samples_frame(details(tmp_path, [replace(a_record(row), id=id_) for row, id_ in enumerate(ids)]))
    assert str(frame.id.dtype) == dtype
    assert [(type(id_), id_) for id_ in frame.id.tolist()] == [(type(id_), id_) for id_ in ids]


ODD = {
    "usage": [1],
    "model": 5,
    "attempts": "many",
    "latency_s": None,
    "failure_message": {},
    "finish_reason": 1,
    "prompt": 3,
    "extracted_output": [float("nan"), 10**400],
    "output": "a\ud800",
}


def test_odd_values_are_missing_ones(tmp_path: Path) -> None:
    """Values of another type that no report refuses are missing, and harm neither other columns nor other records."""
    odd = json.loads(encode_line(a_record(0))) | ODD
    run_dir = details(tmp_path, [odd, a_record(1, output="fine")])
    frame = samples_frame(run_dir, EVERYTHING)
    missing = ["prompt_tokens", "completion_tokens", "model", "attempts", "latency_s", "failure_message"]
    assert frame.loc[0, [*missing, "finish_reason", "prompt"]].isna().all()
    assert json.loads(frame.extracted_output[0])[1] == 10**400
    assert frame.output.tolist() == ["a\ud800", "fine"]
    assert frame.completion_tokens[1] == 7
    assert frame.ground_truth.tolist() == ['{"sum":4}', '{"sum":4}']


def test_implausible_numbers_are_missing_ones(tmp_path: Path) -> None:
    """Token counts that cannot be counts, and rows beyond any file, are not taken for what they say."""
    usage = {"prompt_tokens": -1, "completion_tokens": 1e300}
    foreign = json.loads(encode_line(a_record(0))) | {"row": 10**30, "usage": usage, "attempts": 10**30}
    frame = samples_frame(details(tmp_path, [foreign]))
    assert frame.loc[0, ["prompt_tokens", "completion_tokens", "attempts"]].isna().all()
    assert frame.row[0] == 0


def test_an_implausible_repeat_is_none(tmp_path: Path) -> None:
    """A repeat that no column can hold is not taken for one, be all else about the record as it should be."""
    foreign = json.loads(encode_line(a_record(0))) | {"repeat": 10**30}
    assert samples_frame(details(tmp_path, [foreign])).repeat.tolist() == [0]


def test_values_nested_too_deeply_do_no_harm(tmp_path: Path) -> None:
    """A ground truth at the limit of what can be read is text or missing, and the record stands."""
    deep = b'{"id": 0, "row": 0, "score": NaN, "ground_truth": ' + b"[" * 900 + b"]" * 900 + b"}\n"
    frame = samples_frame(details(tmp_path, [deep]), ["failure", "ground_truth"])
    assert frame.failure[0] == "verifier_error"
    assert pd.isna(frame.ground_truth[0]) or frame.ground_truth[0] == "[" * 900 + "]" * 900


def test_records_of_the_reference_script_have_what_they_have(tmp_path: Path) -> None:
    """Without row, usage and the like, samples stand in the order of the lines, and the rest is missing."""
    lines = [{"id": "b", "output": "x", "score": 1, "output_len": 4}, {"id": "a", "output": "y", "score": None}]
    frame = samples_frame(details(tmp_path, lines, "sudoku.jsonl"), EVERYTHING)
    assert frame.row.tolist() == [0, 1]
    assert frame.id.tolist() == ["b", "a"]
    assert frame.data_source.tolist() == ["Sudoku", "Sudoku"]
    assert frame.failure.tolist()[1] == "unscored"
    assert (
        frame[["prompt_tokens", "attempts", "model", "latency_s", "prompt", "extracted_output"]].isna().all(axis=None)
    )


def test_failures_are_those_without_an_answer_since(tmp_path: Path) -> None:
    """The last failure of each sample without a record, in the order of the samples; attempts that are none count 0."""
    run_dir = details(tmp_path, [a_record(1)])
    again = replace(a_failure(5, "http_500"), id="five", attempts=2**62)
    lines = [a_failure(5), a_failure(1), a_failure(0, "http_400"), again]
    run_dir.failures.write_bytes(b"".join(map(encode_line, lines)) + b'{"file": "a.js')
    frame = failures_frame(run_dir)
    assert frame.row.tolist() == [0, 5]
    assert frame.kind.tolist() == ["http_400", "http_500"]
    assert frame.id.tolist() == [0, "five"]
    assert frame.attempts.tolist() == [17, 0]
    assert frame.last_error.tolist() == ["why", "why"]


def test_memory_grows_by_the_columns_only(tmp_path: Path) -> None:
    """A further record costs a few hundred bytes, however long its texts are."""
    peaks = []
    for n in (2000, 12_000):
        run_dir = details(tmp_path, (a_record(row, output="long " * 400) for row in range(n)))
        tracemalloc.start()
        frame = samples_frame(run_dir)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(frame) == n
    assert (peaks[1] - peaks[0]) / 10_000 < 400
