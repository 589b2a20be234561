"""The journal and its replay."""

import errno
import json
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from bootcamp_cli.errors import DiskError, LockLostError, RunDirectoryError
from bootcamp_cli.store import records
from bootcamp_cli.store.journal import (
    OWED,
    SCORED,
    UNSCORED,
    UNVERIFIED,
    DetailIndex,
    Journal,
    RunRows,
    open_journal,
    read_failures,
    repair_tail,
    replay,
    replay_lines,
)
from bootcamp_cli.store.legacy import REFERENCE_FIELDS
from bootcamp_cli.store.lock import acquire
from bootcamp_cli.store.records import make_record, read_heads, with_verdict
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import MAX_REPEATS, Answer, FailureRecord, Record, Sample, Verdict, encode_line

FILE = "a.jsonl"


def a_sample(row: int, prompt: str = "2 + 2?") -> Sample:
    """A sample of row `row`."""
    return Sample(file=FILE, row=row, id=row, data_source="Sums", prompt=prompt, ground_truth={"sum": 4})


def a_record(row: int, *, output: str = "4", failure: Any = None, tokens: int | None = 7) -> Record:
    """A record of row `row`, scored 1.0 unless a failure is given."""
    verdict = Verdict(score=None if failure else 1.0, extracted="4", failure=failure, error="why" if failure else None)
    usage = None if tokens is None else {"completion_tokens": tokens}
    answer = Answer(text=output, finish_reason="stop", usage=usage)
    return make_record(a_sample(row), answer, verdict, attempts=1, latency_s=0.5)


def a_failure(row: int, kind: str = "timeout") -> FailureRecord:
    """A failure of row `row`."""
    return FailureRecord(file=FILE, row=row, id=row, data_source="Sums", kind=kind, last_error="why", attempts=17)


def as_written(record: Record) -> dict[str, Any]:
    """The JSON object of a record's line."""
    written: dict[str, Any] = json.loads(encode_line(record))
    return written


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """An empty run directory."""
    (tmp_path / "details").mkdir()
    return RunDir(tmp_path)


@pytest.fixture
def journal(run_dir: RunDir) -> Iterator[Journal]:
    """A journal over one empty file."""
    with acquire(run_dir.path) as lock:
        yield open_journal(run_dir, lock, [FILE])


def rows(run_dir: RunDir) -> list[int | None]:
    """The rows of the details file in the order of its lines."""
    return [head.row for _, _, head in read_heads(run_dir.details / FILE)]


def test_record_has_the_reference_fields_first() -> None:
    """The seven fields of the reference come first and in its order."""
    assert tuple(as_written(a_record(0)))[:7] == REFERENCE_FIELDS


def test_length_without_usage_is_the_word_count_and_says_so() -> None:
    """Without usage the length is the number of words, marked as an estimate; with usage it is the token count."""
    record = a_record(0, output="the answer is 4", tokens=None)
    assert (record.output_len, record.output_len_estimated) == (4, True)
    assert a_record(0).output_len == 7
    assert "output_len_estimated" not in as_written(a_record(0))


def test_a_later_verdict_removes_the_failure() -> None:
    """A record that is verified after all keeps no trace of its verifier's failure."""
    verified = as_written(with_verdict(a_record(0, failure="verifier_crash"), Verdict(score=0.0, extracted=None)))
    assert verified["score"] == 0.0
    assert "failure" not in verified
    assert "failure_message" not in verified


@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_text_survives_the_way_to_disk(text: str) -> None:
    """A record is one line of valid UTF-8 whatever the output, lone surrogates and line separators included."""
    record = a_record(0, output=text)
    line = encode_line(record)
    assert line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8")) == to_builtins(record)


def test_non_ascii_is_written_as_is() -> None:
    """Chinese text stays readable in the file."""
    assert "数独".encode() in encode_line(a_record(0, output="数独"))


def test_replay_knows_the_state_of_every_row(run_dir: RunDir, journal: Journal) -> None:
    """Replaying gives the index that the writer had."""
    journal.append(
        [(FILE, a_record(3)), (FILE, a_record(1, failure="verifier_timeout")), (FILE, a_record(5, failure="unscored"))]
    )
    index = replay(run_dir.details / FILE)
    assert [index.state(row) for row in range(7)] == [OWED, UNVERIFIED, OWED, SCORED, OWED, UNSCORED, OWED]
    assert index == journal.details[FILE]


odd = st.sampled_from(
    [
        ({"failure": "unscored"}, {}),
        ({"failure": "pending"}, {}),
        ({"failure": "verifier_crash"}, {"output": 4}),
        ({}, {"score": math.nan}),
        ({}, {"score": 10**400}),
        ({}, {"score": True}),
        ({}, {"repeat": 1, "output_len": None}),
        ({}, {"usage": [], "finish_reason": 3, "output_len_estimated": "x"}),
        ({}, {"row": None}),
        ({}, {"row": 2}),
        ({}, {"id": "x"}),
        ({}, {"failure": 3}),
        ({}, {"data_source": "Other"}),
        ({}, {"data_source": None}),
    ]
)
known_rows = st.none() | st.builds(
    RunRows,
    data_sources=st.just(frozenset({"Sums"})),
    n_rows=st.none() | st.just(8),
    max_rows=st.none() | st.just(6),
    n_repeats=st.integers(1, 2),
    id_is_row=st.booleans(),
    samples=st.none() | st.just(frozenset({(0, 0), (1, 0)})),
    shard_rows=st.none() | st.just(range(0, 100, 2)),
)


@given(order=st.permutations(range(8)), odd=st.dictionaries(st.integers(0, 7), odd, max_size=2), known=known_rows)
def test_replay_finds_what_line_by_line_is_found(
    order: list[int], odd: dict[int, tuple[dict[str, Any], dict[str, Any]]], known: RunRows | None
) -> None:
    """Whole batches at once make the index that their lines make one by one, or are refused with the same words."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BATCH_BYTES", 800)
        path = Path(folder) / FILE
        with path.open("wb") as file:
            for row in order:
                given_, changed = odd.get(row, ({}, {}))
                file.write(json.dumps(as_written(a_record(row, **given_)) | changed).encode() + b"\n")

        def one_by_one() -> DetailIndex:
            index = DetailIndex(n_repeats=known.n_repeats if known else 1)
            for _ in replay_lines(path, index, known):
                pass
            return index

        found: list[object] = []
        for read in (one_by_one, partial(replay, path, known)):
            try:
                found.append(read())
            except RunDirectoryError as error:
                found.append(str(error))
        assert found[0] == found[1]


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_run_may_be_killed_at_any_byte(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Cut anywhere, a details file keeps its whole records, and only the torn one is owed again."""
    path = tmp_path_factory.mktemp("torn") / FILE
    lines = [encode_line(a_record(row, output="好" * row)) for row in range(6)]
    content = b"".join(lines)[:cut]
    path.write_bytes(content)
    whole = 0
    n_bytes = 0
    for line in lines:
        n_bytes += len(line)
        whole += n_bytes - 1 <= len(content)
    repair_tail(path)
    index = replay(path)
    assert [index.sample(i) for i in range(len(index.places))] == [(row, 0) for row in range(whole)]
    assert path.read_bytes() == b"".join(lines[:whole])


def test_a_whole_record_without_its_newline_is_kept(run_dir: RunDir) -> None:
    """A last line that lacks only its newline is ended, not cut."""
    path = run_dir.details / FILE
    path.write_bytes(encode_line(a_record(0)).rstrip(b"\n"))
    assert repair_tail(path) is False
    assert rows(run_dir) == [0]


@given(order=st.permutations(range(8)), again=st.sets(st.integers(0, 7)))
def test_order_at_the_end_is_row_order_with_the_latest_verdict(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], again: set[int]
) -> None:
    """Put in order, every row stands once, in row order, with its last verdict, whatever the order of arrival."""
    path = tmp_path_factory.mktemp("ordered")
    (path / "details").mkdir()
    run_dir = RunDir(path)
    with acquire(path) as lock:
        journal = open_journal(run_dir, lock, [FILE])
        journal.append([(FILE, a_record(row, failure="verifier_crash" if row in again else None)) for row in order])
        journal.append([(FILE, a_record(row)) for row in again])
        journal.put_in_order(FILE)
        assert replay(path / "details" / FILE) == journal.details[FILE]
    assert rows(run_dir) == list(range(8))
    assert all(head.score == 1.0 for _, _, head in read_heads(path / "details" / FILE))


def test_a_second_record_of_a_scored_row_is_refused_with_its_place(run_dir: RunDir) -> None:
    """A details file edited by hand is not guessed at: the message names the line, and nothing is changed."""
    path = run_dir.details / FILE
    content = encode_line(a_record(0)) * 2
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"details/a.jsonl:2: row 0 already has a record"):
        replay(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{half\n", "not readable as JSON"),
        (b"[1]\n", "not a JSON object"),
        (b'{"row": -1, "score": 1}\n', "row is -1"),
        (b'{"row": true, "score": 1}\n', "row is True"),
        (b'{"row": 1, "score": "1"}\n', "score is '1'"),
        (b'{"score": 1}\n', "row is missing"),
        (b'{"row": 1, "score": 1, "repeat": 2}\n', "repeat is 2, but this run asks each question once"),
        (b'{"row": 1, "score": 1, "output_len": -1}\n', "output_len is -1, not a count"),
        (b'{"row": 1}\n', "score is missing"),
        ('{"row": 1, "score": 1, "output": "é"}\n'.encode("latin-1"), "not readable"),
    ],
)
def test_damage_in_the_middle_is_named(run_dir: RunDir, line: bytes, what: str) -> None:
    """A line that is no record stops the replay with its number."""
    path = run_dir.details / FILE
    path.write_bytes(encode_line(a_record(0)) + line + encode_line(a_record(2)))
    with pytest.raises(RunDirectoryError, match=f"a.jsonl:2: {what}"):
        replay(path)


def test_full_disk_leaves_whole_lines(run_dir: RunDir, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way is taken back, and the error says what to do."""
    journal.append([(FILE, a_record(0))])
    real_write = os.write

    def short_write(descriptor: int, data: bytes) -> int:
        if len(data) > 100:
            return real_write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bootcamp_cli.store.journal.os.write", short_write)
    with pytest.raises(DiskError, match="free some space"):
        journal.append([(FILE, a_record(1))])
    monkeypatch.undo()
    assert rows(run_dir) == [0]


def test_nothing_is_written_after_the_lock_is_lost(run_dir: RunDir, journal: Journal) -> None:
    """A journal whose lock was taken over refuses to write."""
    (run_dir.path / ".lock" / "2").write_text("{}")
    with pytest.raises(LockLostError):
        journal.append([(FILE, a_record(0))])
    with pytest.raises(LockLostError):
        journal.append_failures([a_failure(1)])
    assert not (run_dir.details / FILE).exists()


def test_failures_that_found_an_answer_are_settled(run_dir: RunDir, journal: Journal) -> None:
    """In the end failures.jsonl holds the last failure of each sample without a record, in order."""
    journal.append_failures([a_failure(9), a_failure(2), a_failure(1)])
    journal.append_failures([a_failure(9, kind="http_400")])
    journal.append([(FILE, a_record(1))])
    journal.settle_failures()
    assert [(failure.row, failure.kind) for failure in read_failures(run_dir)] == [(2, "timeout"), (9, "http_400")]
    journal.append([(FILE, a_record(2)), (FILE, a_record(9))])
    journal.settle_failures()
    assert not run_dir.failures.exists()


def test_what_a_killed_replacement_left_is_removed(run_dir: RunDir, journal: Journal) -> None:
    """Temporary files of a process that was killed while replacing are gone when the journal is opened again."""
    for directory in (run_dir.path, run_dir.details):
        (directory / ".tmp-abc").write_bytes(b"half")
    open_journal(run_dir, journal.lock, [FILE])
    assert not list(run_dir.path.rglob(".tmp-*"))


def test_damaged_failures_are_named(run_dir: RunDir) -> None:
    """A line of failures.jsonl that cannot be read is named; a torn last one is left out."""
    run_dir.failures.write_bytes(b'{"file": "a", "row": 1}\n{"file": "a", "r')
    assert len(read_failures(run_dir)) == 1
    run_dir.failures.write_bytes(b'{"file": "a"}\n')
    with pytest.raises(RunDirectoryError, match=r"failures.jsonl:1"):
        read_failures(run_dir)


@pytest.mark.parametrize("key", ["output", "ground_truth", "data_source"])
def test_a_record_that_cannot_be_verified_again_is_named(run_dir: RunDir, key: str) -> None:
    """A verifier failure without its output, ground truth or data source is refused with file and line on replay."""
    path = run_dir.details / FILE
    damaged = as_written(a_record(1, failure="verifier_crash"))
    del damaged[key]
    path.write_bytes(encode_line(a_record(0, failure="verifier_crash")) + encode_line(damaged))
    with pytest.raises(RunDirectoryError, match=rf"details/a\.jsonl:2: {key} "):
        replay(path)


def test_a_verifier_failure_with_an_output_of_another_type_is_named(run_dir: RunDir) -> None:
    """An output or a reasoning that is no text is refused, also where a lone surrogate takes the slow reading."""
    changes: list[dict[str, Any]] = [{"output": 7}, {"output": None}, {"reasoning_content": []}]
    for change in changes:
        for prompt in ("?", "\ud800"):
            record = as_written(a_record(0, failure="verifier_crash")) | {"prompt": prompt} | change
            (run_dir.details / FILE).write_bytes(encode_line(record))
            with pytest.raises(RunDirectoryError, match=rf"a\.jsonl:1: {next(iter(change))} "):
                replay(run_dir.details / FILE)


@pytest.mark.parametrize("score", [b"NaN", b"-Infinity", b"1e999"])
def test_a_score_that_is_not_finite_is_a_failed_verdict(run_dir: RunDir, score: bytes) -> None:
    """A record with a score of NaN or infinity is verified again, as the report counts it."""
    path = run_dir.details / FILE
    path.write_bytes(encode_line(a_record(0)).replace(b'"score":1.0', b'"score":' + score))
    index = replay(path)
    assert (index.state(0), index.n_scored) == (UNVERIFIED, 0)


@pytest.mark.parametrize("name", [f"details/{FILE}", "failures.jsonl"])
def test_a_linked_file_is_refused_before_anything_is_sent(run_dir: RunDir, tmp_path: Path, name: str) -> None:
    """A journal over a symbolic link does not open: nothing would be written through it."""
    (run_dir.path / name).symlink_to(tmp_path / "elsewhere")
    with acquire(run_dir.path) as lock, pytest.raises(RunDirectoryError, match="symbolic link"):
        open_journal(run_dir, lock, [FILE])


@pytest.mark.parametrize("odd", [{"note": "mine"}, {"usage": [1]}, {"note": "\ud800"}])
def test_other_keys_of_a_line_survive_its_new_verdict(run_dir: RunDir, odd: dict[str, Any]) -> None:
    """Keys that someone added to a pending record, or values of other types, stand in the line of its verdict too."""
    written = as_written(a_record(1, failure="verifier_crash")) | odd
    (run_dir.details / FILE).write_text(json.dumps(written) + "\n", encoding="utf-8")
    with acquire(run_dir.path) as lock:
        journal = open_journal(run_dir, lock, [FILE])
        [position] = journal.details[FILE].unverified()
        record = journal.read_record(FILE, position)
        assert (record.row, record.output, record.failure) == (1, "4", "verifier_crash")
        journal.append([(FILE, with_verdict(record, Verdict(score=1.0, extracted="4")))])
        journal.put_in_order(FILE)
    [line] = (run_dir.details / FILE).read_bytes().splitlines()
    expected = {key: value for key, value in written.items() if key not in ("failure", "failure_message")}
    assert json.loads(line) == expected | {"score": 1.0}


@given(order=st.permutations([(row, repeat) for row in range(3) for repeat in range(4)]))
def test_the_index_knows_every_repeat_of_a_row(order: list[tuple[int, int]]) -> None:
    """A sample is a row and a repeat: each has a state of its own, and they are ordered by row, then by repeat."""
    index = DetailIndex(n_repeats=4)
    for row, repeat in order:
        assert index.state(row, repeat) == OWED
        index.add(replace(a_record(row, failure="verifier_crash" if repeat == 2 else None), repeat=repeat), 10)
    assert [index.sample(i) for i in index.latest_in_order()] == sorted(order)
    assert [index.sample(i) for i in index.unverified()] == [(row, 2) for row in range(3)]
    assert (index.n_answered, index.n_unverified, index.n_scored) == (12, 3, 9)


def test_lines_of_failures_keep_what_else_stands_in_them(run_dir: RunDir, journal: Journal) -> None:
    """Settling copies lines: what someone added to one stays."""
    line = b'{"file": "a.jsonl", "row": 3, "note": "mine"}\n'
    run_dir.failures.write_bytes(line)
    journal.settle_failures()
    assert run_dir.failures.read_bytes() == line


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"[1]\n", "not readable"),
        (b'{"file": "a", "row": "1"}\n', "row is '1', not a row number"),
        (b'{"file": "a", "row": -1}\n', "row is -1, not a row number"),
        (b'{"file": 1, "row": 1}\n', "file is 1, not the name of a test file"),
        (b'{"file": "a", "row": 1, "kind": [' + b"0, " * 99 + b"0]}\n", r"kind is \[0, 0.*…, not a string or null"),
        (b'{"file": "a", "row": 1, "data_source": 1}\n', "data_source is 1, not a string or null"),
    ],
)
def test_ill_typed_failures_are_errors_with_their_place(run_dir: RunDir, line: bytes, what: str) -> None:
    """A failure without usable fields is named with its line, and a long value is cut."""
    run_dir.failures.write_bytes(encode_line(a_failure(0)) + line)
    with pytest.raises(RunDirectoryError, match=rf"^failures\.jsonl:2: {what}"):
        read_failures(run_dir)


def test_a_row_beyond_the_test_file_costs_no_memory(run_dir: RunDir) -> None:
    """Where rows in between are left out, too, a row that no file of that size can have is refused with its place."""
    (run_dir.details / "a.jsonl").write_bytes(encode_line(a_record(999_999_999)))
    rows = RunRows(data_sources=frozenset({"Sums"}), max_rows=1000, n_repeats=MAX_REPEATS)
    with pytest.raises(RunDirectoryError, match=r"a\.jsonl:1: row 999999999 is beyond the end of the test file"):
        replay(run_dir.details / "a.jsonl", rows)
