"""Streaming samples: the same rows as the scan saw, lazily, and only from the file that was scanned."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.dataset.rows import InvalidRowError, Row, parse_row
from bootcamp_cli.dataset.scan import TestFile, digest_of_prefix, scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.errors import DatasetError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
rows = st.fixed_dictionaries(
    {"data_source": st.sampled_from(["Sudoku", "Maze"]), "prompt": st.text(), "ground_truth": json_values}
)
lines = rows.map(lambda row: json.dumps(row).encode()) | st.sampled_from([b"[]", b"{", b"\xff", b"  "])


def line(data_source: str = "Sudoku", prompt: str = "p", **more: object) -> bytes:
    """A valid row as it stands in a test file."""
    return json.dumps({"data_source": data_source, "prompt": prompt, "ground_truth": 1, **more}).encode() + b"\n"


def scanned(tmp_path: Path, content: bytes, **options: Any) -> TestFile:
    """The scan of a test dir whose one file has this content."""
    (tmp_path / "t.jsonl").write_bytes(content)
    return scan_test_dir(tmp_path, **options).files[0]


@given(lines=st.lists(lines, min_size=1), limit=st.none() | st.integers(1, 4), exclude=st.sampled_from([(), ("Maze",)]))
def test_stream_gives_what_was_counted(lines: list[bytes], limit: int | None, exclude: tuple[str, ...]) -> None:
    """For any mix of good and bad lines, the stream yields the valid selected rows under their line numbers."""
    with tempfile.TemporaryDirectory() as directory:
        expected = [
            (row, (values := json.loads(line))["prompt"], values["ground_truth"])
            for row, line in enumerate(lines)
            if line.startswith(b'{"') and (not exclude or b'"data_source": "Maze"' not in line)
        ][:limit]
        content = b"\n".join(lines)
        if not expected:
            with pytest.raises(DatasetError):
                scanned(Path(directory), content, limit=limit, exclude=exclude, skip_invalid=True)
            return
        test_file = scanned(Path(directory), content, limit=limit, exclude=exclude, skip_invalid=True)
        samples = list(iter_samples(test_file))
    assert [(sample.row, sample.prompt, sample.ground_truth) for sample in samples] == expected
    assert test_file.n_rows == len(expected)


@given(st.binary(max_size=200) | rows.map(json.dumps).map(str.encode).flatmap(lambda b: st.just(b[: len(b) // 2])))
def test_no_line_crashes_the_parser(raw: bytes) -> None:
    """Any bytes are either a row or an InvalidRowError with a one-line printable text."""
    try:
        parse_row(raw)
    except InvalidRowError as error:
        assert str(error).isprintable()  # noqa: PT017 - not every input raises


@pytest.mark.parametrize(("ids", "expected"), [(["x", "y"], ["x", "y"]), (["x", "x"], [0, 1])])
def test_ids_follow_the_rule(tmp_path: Path, ids: list[str], expected: list[object]) -> None:
    """Samples carry their own ids where the whole file has usable ones, else 0-based row numbers."""
    test_file = scanned(tmp_path, b"".join(line(id=own_id) for own_id in ids))
    assert [sample.id for sample in iter_samples(test_file)] == expected


def test_skipped_rows_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are skipped cost no parsing, whatever selection and id rule are."""
    test_file = scanned(tmp_path, b"".join(line(id=i) for i in range(10)), limit=8, exclude=["Maze"])
    parsed = []

    def spy(raw: bytes) -> Row:
        parsed.append(raw)
        return parse_row(raw)

    monkeypatch.setattr("bootcamp_cli.dataset.stream.parse_known_row", spy)
    assert [sample.row for sample in iter_samples(test_file, skip=lambda row, _: row != 5)] == [5]
    assert len(parsed) == 1


def n_descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_no_file_stays_open_between_samples(tmp_path: Path) -> None:
    """However many streams are under way, in files of one batch or of several, none of them holds a descriptor."""
    for n in range(50):
        (tmp_path / f"{n}.jsonl").write_bytes(line(prompt="p" * 100) * (2 if n % 2 else 2000))
    streams = [iter_samples(test_file) for test_file in scan_test_dir(tmp_path).files]
    n_open = n_descriptors()
    for _ in range(2):
        for stream in streams:
            next(stream)
        assert n_descriptors() == n_open
    assert sum(1 for stream in streams for _ in stream) == 25 * 1998


@pytest.mark.parametrize("replaced", [b"", line(prompt="q" * 100) * 2000])
def test_a_file_replaced_between_two_batches_is_detected(tmp_path: Path, replaced: bytes) -> None:
    """A file that another one takes the place of while it is read is refused, at the latest after the last sample."""
    test_file = scanned(tmp_path, line(prompt="p" * 100) * 2000)
    stream = iter_samples(test_file)
    next(stream)
    (tmp_path / "new").write_bytes(replaced)
    (tmp_path / "new").replace(test_file.path)
    with pytest.raises(DatasetError, match=r"t\.jsonl changed while the run was reading it"):
        list(stream)


def test_stream_is_lazy(tmp_path: Path) -> None:
    """The first sample comes before the rest of the file is read."""
    test_file = scanned(tmp_path, line(prompt="first") * 50_000)
    stream = iter_samples(test_file)
    assert next(stream).prompt == "first"
    test_file.path.write_bytes(b"")
    with pytest.raises(DatasetError):
        list(stream)


@pytest.mark.parametrize("limit", [None, 2])
def test_changed_file_is_detected(tmp_path: Path, limit: int | None) -> None:
    """A file that shrank is refused before the first sample, one with other bytes after the last."""
    content = line(prompt="a") * 3
    test_file = scanned(tmp_path, content, limit=limit)
    test_file.path.write_bytes(content.replace(b'"a"', b'"b"'))
    stream = iter_samples(test_file)
    assert [next(stream).prompt for _ in range(test_file.n_rows)] == ["b"] * test_file.n_rows
    with pytest.raises(DatasetError, match=r"t\.jsonl changed while the run was reading it"):
        next(stream)
    test_file.path.write_bytes(content[:20])
    with pytest.raises(DatasetError, match="changed"):
        next(iter_samples(test_file))
    test_file.path.unlink()
    with pytest.raises(DatasetError, match=r"cannot read test file t\.jsonl"):
        next(iter_samples(test_file))


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_rows_appended_since_the_scan_are_left_alone(tmp_path: Path, ending: bytes) -> None:
    """What another process appends, even to an unfinished last line, changes nothing in the running stream."""
    test_file = scanned(tmp_path, line() + line().removesuffix(b"\n") + ending)
    with test_file.path.open("ab") as file:
        file.write(line() * 3)
    assert len(list(iter_samples(test_file))) == 2


def test_digests_prove_that_rows_were_only_appended(tmp_path: Path) -> None:
    """The digest of a grown file's prefix equals the old file's digest; of a changed file it does not."""
    test_file = scanned(tmp_path, line() * 3)
    assert hashlib.sha256(test_file.path.read_bytes()).hexdigest() == test_file.digest
    with test_file.path.open("ab") as file:
        file.write(line())
    assert digest_of_prefix(test_file.path, test_file.path.stat().st_size) != test_file.digest
    assert digest_of_prefix(test_file.path, test_file.size_bytes) == test_file.digest
    test_file.path.write_bytes(b" " + test_file.path.read_bytes())
    assert digest_of_prefix(test_file.path, test_file.size_bytes) != test_file.digest
    with pytest.raises(DatasetError, match="shorter than 9999 bytes"):
        digest_of_prefix(test_file.path, 9999)
    with pytest.raises(DatasetError, match="cannot read"):
        digest_of_prefix(tmp_path / "none", 1)
