"""The index of the samples of a run directory: right places, kept, extended, made anew where it no longer holds."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.errors import RunDirectoryError
from bootcamp_cli.store.records import ENDS
from bootcamp_cli.store.sample_index import SampleIndex, StoppedError, read_place, remove_oldest
from bootcamp_cli.types import Record, encode_record
from tests.test_store_journal import a_record

FIXTURES = Path(__file__).parent / "fixtures" / "runs"


def write_details(path: Path, records: Sequence[Record]) -> Path:
    """A details file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(encode_record, records)))
    return path


def indexed(paths: Sequence[Path], cache: Path | None = None, *, foreign: bool = False) -> tuple[SampleIndex, int]:
    """The index of these files, and from which byte on they were read for it."""
    index = SampleIndex(Path("/run"), foreign=foreign, cache=cache)
    index.load()
    begun: list[int] = []
    index.refresh(paths, lambda done, _: begun.append(done))
    index.save()
    return index, begun[0]


def entries(index: SampleIndex, file: str) -> list[tuple[Any, ...]]:
    """The entries of a file, as Python values; NaN as None."""
    rows = [row for chunk in index.files[file].chunks for row in chunk.tolist()]
    return [tuple(None if value != value else value for value in row) for row in rows]  # noqa: PLR0124 - NaN


def test_each_record_is_found_at_its_place(tmp_path: Path) -> None:
    """What is read at an entry's place is that record's line, whatever its length and letters."""
    records = [
        replace(a_record(row, output="ä数\n" * row), score=None if row == 2 else row / 4, repeat=row % 2)
        for row in range(5)
    ]
    path = write_details(tmp_path / "a.jsonl", records)
    index, _ = indexed([path])
    found = entries(index, "a.jsonl")
    assert [read_place(path, offset, length) for offset, length, *_ in found] == list(map(encode_record, records))
    assert [(row, repeat, score) for _, _, row, repeat, score, *_ in found] == [
        (record.row, record.repeat, record.score) for record in records
    ]


def test_records_of_run_eval_are_found_at_their_places(tmp_path: Path) -> None:
    """Several records in a line, half ones among them, NaN and a last line without its end: each has its own place."""
    whole = '{"id": 0, "prompt": "p", "output": "one", "output_len": 1, "ground_truth": NaN, "score": 1.0}'
    half = '{"id": 1, "prompt": "p", "output_len": 4, "ground_truth": 2, "score": 0.5, "extracted_output": '
    path = tmp_path / "a.jsonl"
    path.write_text(f"{whole}\n{half}{whole.replace('one', 'two')}\n{whole.replace('one', 'end')}", encoding="utf-8")
    index, _ = indexed([path], foreign=True)
    texts = [read_place(path, offset, length).decode() for offset, length, *_ in entries(index, "a.jsonl")]
    assert texts == [f"{whole}\n"[: len(whole)], half, whole.replace("one", "two"), whole.replace("one", "end")]


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_runs_of_all_kinds_are_indexed(name: str) -> None:
    """Every record of the stored runs of earlier versions and of run_eval.py has an entry that leads to it."""
    paths = sorted((FIXTURES / name / "details").glob("*.jsonl"))
    index, _ = indexed(paths, foreign=name == "run_eval")
    for path in paths:
        for offset, length, row, *_ in entries(index, path.name):
            written = json.loads(read_place(path, offset, length))
            assert written.get("row", row) == row


def test_a_kept_index_is_not_made_again(tmp_path: Path) -> None:
    """The second time nothing is read, and the entries are the same; the cache is for the user's eyes only."""
    path = write_details(tmp_path / "details" / "a.jsonl", [a_record(row) for row in range(50)])
    first, begun = indexed([path], tmp_path / "cache")
    second, again = indexed([path], tmp_path / "cache")
    assert (begun, again) == (0, path.stat().st_size)
    assert entries(second, "a.jsonl") == entries(first, "a.jsonl")
    kept = next((tmp_path / "cache").iterdir())
    assert kept.stat().st_mode & 0o077 == 0


def test_a_file_that_grew_is_read_from_where_the_index_ends(tmp_path: Path) -> None:
    """Appended records, behind a torn line that became whole, are added without reading what was there."""
    lines = [encode_record(a_record(row)) for row in range(10)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    assert len(entries(indexed([path], tmp_path / "cache")[0], "a.jsonl")) == 4
    with path.open("ab") as file:
        file.write(lines[4][30:] + b"".join(lines[5:]))
    grown, begun = indexed([path], tmp_path / "cache")
    assert begun == sum(map(len, lines[:4]))
    assert entries(grown, "a.jsonl") == entries(indexed([path])[0], "a.jsonl")


def test_a_whole_last_line_without_its_end_is_counted_once(tmp_path: Path) -> None:
    """A record whose newline comes later has one entry before and after."""
    line = encode_record(a_record(0))
    path = tmp_path / "a.jsonl"
    path.write_bytes(line[:-1])
    assert len(entries(indexed([path], tmp_path / "cache")[0], "a.jsonl")) == 1
    with path.open("ab") as file:
        file.write(b"\n" + encode_record(a_record(1)))
    assert [row for _, _, row, *_ in entries(indexed([path], tmp_path / "cache")[0], "a.jsonl")] == [0, 1]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    """Another file in its place, a shorter one, or other bytes in the same file: nothing of the old index stays."""
    records = [a_record(row) for row in range(6)]
    path = write_details(tmp_path / "a.jsonl", records)
    for changed in (
        [*reversed(records), a_record(6)],
        records[:2],
        [replace(record, score=0.0) for record in records],
    ):
        indexed([path], tmp_path / "cache")
        other = write_details(tmp_path / "b.jsonl", changed)
        other.replace(path)
        index, begun = indexed([path], tmp_path / "cache")
        assert begun == 0
        assert [(row, score) for _, _, row, _, score, *_ in entries(index, "a.jsonl")] == [
            (record.row, record.score) for record in changed
        ]


def test_files_that_are_gone_leave_the_index(tmp_path: Path) -> None:
    """A details file that is removed has no entries any more."""
    paths = [write_details(tmp_path / name, [a_record(0)]) for name in ("a.jsonl", "b.jsonl")]
    indexed(paths, tmp_path / "cache")
    paths[0].unlink()
    index, _ = indexed(paths[1:], tmp_path / "cache")
    assert list(index.files) == ["b.jsonl"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_broken_cache_is_made_anew(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever stands in the cache, the index is that of the files."""
    path = tmp_path / "details" / "a.jsonl"
    if not path.exists():
        write_details(path, [a_record(row) for row in range(3)])
    expected = entries(indexed([path], tmp_path / "cache")[0], "a.jsonl")
    kept = next((tmp_path / "cache").iterdir())
    content = kept.read_bytes()
    header = len(content.partition(b"\n")[0])
    broken = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.integers(0, len(content) - 1).map(lambda n: content[:n]),
            st.binary(min_size=1, max_size=4).map(lambda more: content + more),
            st.integers(0, header - 1).map(lambda n: content[:n] + b"\xff" + content[n + 1 :]),
        )
    )
    kept.write_bytes(broken)
    assert entries(indexed([path], tmp_path / "cache")[0], "a.jsonl") == expected


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Where a file stands in the place of the cache's folder, the index is made each time."""
    path = write_details(tmp_path / "a.jsonl", [a_record(0)])
    (tmp_path / "cache").write_text("", encoding="utf-8")
    for _ in range(2):
        index, begun = indexed([path], tmp_path / "cache")
        assert (len(entries(index, "a.jsonl")), begun) == (1, 0)


def test_the_least_recently_used_indexes_are_removed(tmp_path: Path) -> None:
    """Beyond the limit those that were used last stay."""
    for age, name in enumerate(("new", "middle", "old")):
        path = tmp_path / f"{name}.index"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    remove_oldest(tmp_path, 250)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["middle", "new"]


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A line that is no record is named by file and number, also behind what was indexed before."""
    path = write_details(tmp_path / "details" / "a.jsonl", [a_record(0)])
    indexed([path], tmp_path / "cache")
    with path.open("ab") as file:
        file.write(b"[]\n")
    with pytest.raises(RunDirectoryError, match=r"a\.jsonl:2: not a JSON object"):
        indexed([path], tmp_path / "cache")


def test_an_index_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was read before nobody waited any more is kept."""
    path = write_details(tmp_path / "a.jsonl", [a_record(row, output="x" * 10_000) for row in range(300)])
    index = SampleIndex(Path("/run"), foreign=False, cache=tmp_path / "cache")
    with pytest.raises(StoppedError):
        index.refresh([path], stopped=lambda: True)
    n = len(index.files["a.jsonl"])
    index.save()
    whole, begun = indexed([path], tmp_path / "cache")
    assert 0 < n < 300
    assert begun == sum(len(encode_record(a_record(row, output="x" * 10_000))) for row in range(n))
    assert entries(whole, "a.jsonl") == entries(indexed([path])[0], "a.jsonl")


def test_ends_are_told_apart(tmp_path: Path) -> None:
    """Truncated comes before empty, empty before filtered, as in the account of a run."""
    records = [
        a_record(0),
        replace(a_record(1, output=""), finish_reason="length"),
        replace(a_record(2, output=""), finish_reason="content_filter"),
        replace(a_record(3), finish_reason="content_filter"),
        replace(a_record(4, output=""), reasoning_content="so"),
    ]
    index, _ = indexed([write_details(tmp_path / "a.jsonl", records)])
    assert [ENDS[entry[-2]] for entry in entries(index, "a.jsonl")] == [
        "plain",
        "truncated",
        "empty",
        "filtered",
        "plain",
    ]
