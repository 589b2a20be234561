"""Questions drawn: the same for the same seed, spread over the file, each row with the same chance."""

import json
import tempfile
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.dataset.draw import Draw, Places
from bootcamp_cli.dataset.rows import Row, parse_row
from bootcamp_cli.dataset.scan import TestFile, scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples

draws = st.builds(Draw, n=st.integers(1, 60), seed=st.integers(-(2**70), 2**70))
names = st.text(st.characters(exclude_categories=()), min_size=1, max_size=8)


@given(draw=draws, name=names, n_rows=st.integers(0, 400))
def test_positions_are_a_part_of_the_rows(draw: Draw, name: str, n_rows: int) -> None:
    """As many different rows as wanted, or all, in ascending order and always the same."""
    positions = draw.positions(name, n_rows)
    assert len(positions) == len(set(positions)) == min(draw.n, n_rows)
    assert list(positions) == sorted(positions)
    assert all(0 <= position < n_rows for position in positions)
    assert positions == Draw(n=draw.n, seed=draw.seed).positions(name, n_rows)


@given(draw=draws, name=names, n_rows=st.integers(1, 400), data=st.data())
def test_every_stretch_of_the_file_has_its_share(draw: Draw, name: str, n_rows: int, data: st.DataObject) -> None:
    """Of any stretch of neighbouring rows its share is drawn, give or take two rows."""
    first = data.draw(st.integers(0, n_rows))
    end = data.draw(st.integers(first, n_rows))
    n_drawn = sum(first <= position < end for position in draw.positions(name, n_rows))
    share = min(draw.n, n_rows) * (end - first) / n_rows
    assert abs(n_drawn - share) < 2 + min(draw.n, n_rows) / n_rows


@pytest.mark.parametrize(("n", "n_rows"), [(20, 68), (3, 5), (7, 8), (1, 9)])
def test_every_row_has_the_same_chance(n: int, n_rows: int) -> None:
    """Over many seeds every row is drawn equally often, also where the rows cannot be divided evenly."""
    n_seeds = 4000
    counts = [0] * n_rows
    for seed in range(n_seeds):
        for position in Draw(n=n, seed=seed).positions("t.jsonl", n_rows):
            counts[position] += 1
    share = n / n_rows
    deviation = (n_seeds * share * (1 - share)) ** 0.5
    assert max(abs(count - n_seeds * share) for count in counts) < 4.5 * deviation


def test_what_is_drawn_depends_on_seed_and_name() -> None:
    """Another seed, and another file of as many rows, have other questions drawn."""
    drawn = Draw(n=20, seed=1).positions("a.jsonl", 68)
    assert drawn != Draw(n=20, seed=2).positions("a.jsonl", 68)
    assert drawn != Draw(n=20, seed=1).positions("b.jsonl", 68)


def test_what_a_seed_draws_never_changes() -> None:
    """A run can be continued by any later version: what a seed draws is fixed."""
    assert list(Draw(n=5, seed=1).positions("sudoku.jsonl", 68)) == PINNED


PINNED = [19, 27, 41, 56, 65]

kinds = st.tuples(st.sampled_from(["Sudoku", "Maze"]), st.booleans())


@given(rows=st.lists(st.none() | kinds, max_size=40))
def test_places_are_found_again(rows: list[tuple[str, bool] | None]) -> None:
    """Line, data source and form of each row come back, whatever lines are left out in between."""
    places = Places()
    expected = [(line, *kind) for line, kind in enumerate(rows) if kind is not None]
    for line, data_source, is_chat in expected:
        places.add(line, data_source, is_chat=is_chat)
    assert places.n_rows == len(expected)
    assert list(places.at(range(len(expected)))) == expected


def test_a_file_without_gaps_is_one_stretch() -> None:
    """The places of a million rows in a row of one data source take no memory that grows."""
    places = Places()
    for line in range(1000):
        places.add(line, "Sudoku", is_chat=False)
    assert list(places.at([0, 999])) == [(0, "Sudoku", False), (999, "Sudoku", False)]
    assert len(places._lines) == 1


def row_of(kind: str, number: int) -> bytes:
    """A line of a test file: a row of a data source, a chat of it, or nothing that can be read."""
    if kind == "bad":
        return b"{\n"
    prompt: Any = [{"role": "user", "content": str(number)}] if kind == "Chat" else str(number)
    source = "Sudoku" if kind == "Chat" else kind
    return json.dumps({"data_source": source, "prompt": prompt, "ground_truth": number}).encode() + b"\n"


file_lines = st.lists(st.sampled_from(["Sudoku", "Maze", "Chat", "bad"]), max_size=30).map(
    lambda kinds: ["Sudoku", *kinds]
)


def scanned(directory: Path, name: str, lines: list[str], **options: Any) -> TestFile:
    """The scan of a test dir with this file."""
    (directory / name).write_bytes(b"".join(map(row_of, lines, range(len(lines)))))
    return next(file for file in scan_test_dir(directory, skip_invalid=True, **options).files if file.name == name)


@given(
    lines=file_lines,
    draw=draws,
    limit=st.none() | st.integers(1, 10),
    exclude=st.sampled_from([(), ("Maze",)]),
)
def test_the_stream_gives_what_was_drawn(
    lines: list[str], draw: Draw, limit: int | None, exclude: tuple[str, ...]
) -> None:
    """Of the rows that patterns and a limit let in, bad lines between them, just the drawn ones are streamed."""
    with tempfile.TemporaryDirectory() as place:
        selected = [row for row, kind in enumerate(lines) if kind != "bad" and not (exclude and kind == "Maze")][:limit]
        file = scanned(Path(place), "t.jsonl", lines, draw=draw, limit=limit, exclude=exclude)
        samples = list(iter_samples(file, n_repeats=2))
    expected = [selected[position] for position in draw.positions("t.jsonl", len(selected))]
    assert [(sample.row, sample.repeat) for sample in samples] == [
        (row, repeat) for row in expected for repeat in (0, 1)
    ]
    assert [sample.ground_truth for sample in samples[::2]] == expected
    assert (file.n_rows, file.n_drawn_from) == (len(expected), len(selected))
    sources = [sample.data_source for sample in samples[::2]]
    assert file.data_sources == tuple((name, sources.count(name)) for name in dict.fromkeys(sources))
    assert file.n_chats == sum(lines[row] == "Chat" for row in expected)


@given(lines=file_lines, appended=file_lines, draw=draws)
def test_appended_rows_are_never_drawn(lines: list[str], appended: list[str], draw: Draw) -> None:
    """Of a file that has grown the same rows are drawn as before, and it counts as the same file."""
    with tempfile.TemporaryDirectory() as place:
        before = scanned(Path(place), "t.jsonl", lines, draw=draw)
        sizes = {"t.jsonl": before.size_bytes}
        after = scanned(Path(place), "t.jsonl", [*lines, *appended], draw=draw, sizes=sizes)
        assert before == after
        assert [sample.row for sample in iter_samples(after)] == list(before.drawn or ())


@given(names=st.permutations(["a.jsonl", "b.jsonl", "c.jsonl"]), draw=draws)
def test_other_files_make_no_difference(names: list[str], draw: Draw) -> None:
    """What is drawn from a file is the same alone, beside others, and in whatever order these were written."""
    drawn: dict[str, array[int] | None] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            drawn[name] = scanned(Path(place), name, ["Sudoku"] * 30, draw=draw).drawn
        test_set = scan_test_dir(Path(place), draw=draw)
    assert {file.name: file.drawn for file in test_set.files} == drawn


def test_rows_that_were_not_drawn_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream of a few rows of a large file parses only these."""
    file = scanned(tmp_path, "t.jsonl", ["Sudoku"] * 500, draw=Draw(n=3, seed=0))
    parsed = []

    def parse(line: bytes) -> Row:
        parsed.append(line)
        return parse_row(line)

    monkeypatch.setattr("bootcamp_cli.dataset.stream.parse_known_row", parse)
    assert len(list(iter_samples(file))) == len(parsed) == 3
