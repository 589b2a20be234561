"""Scanning a test dir: what is found, what is refused, what is selected."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bootcamp_cli.dataset.scan import scan_test_dir
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.errors import DatasetError

PUBLIC_SET = Path(__file__).parents[2] / "shared" / "eval_data"


def row(data_source: str = "Sudoku", **more: object) -> dict[str, object]:
    """A valid row."""
    return {"data_source": data_source, "prompt": "solve it", "ground_truth": [[1]], **more}


def content(*rows: Mapping[str, object]) -> bytes:
    """The rows as a test file holds them."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def problems_of(tmp_path: Path, raw: bytes) -> tuple[str, ...]:
    """What a scan says about a test dir whose one file `t.jsonl` has this content."""
    (tmp_path / "t.jsonl").write_bytes(raw)
    with pytest.raises(DatasetError) as caught:
        scan_test_dir(tmp_path)
    return caught.value.problems


def test_public_set() -> None:
    """The public set scans to 80 files and 5,488 rows without a warning."""
    if not PUBLIC_SET.is_dir():
        pytest.skip(f"{PUBLIC_SET} is not there")
    test_set = scan_test_dir(PUBLIC_SET)
    assert (len(test_set.files), test_set.n_rows, test_set.warnings) == (80, 5488, ())
    assert sum(count for file in test_set.files for _, count in file.data_sources) == 5488


def test_files_come_in_name_order_and_others_are_named(tmp_path: Path) -> None:
    """Visible `.jsonl` files and links to them are test files, in name order; every other entry is named as skipped."""
    for name in ("b.jsonl", "A.jsonl", "notes.txt", "c.JSONL", "._b.jsonl", "d.jsonl.xz"):
        (tmp_path / name).write_bytes(content(row()))
    (tmp_path / "dir.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to("notes.txt")
    os.mkfifo(tmp_path / "pipe.jsonl")
    test_set = scan_test_dir(tmp_path)
    assert [file.name for file in test_set.files] == ["A.jsonl", "b.jsonl", "link.jsonl"]
    assert test_set.skipped == ("._b.jsonl", "c.JSONL", "d.jsonl.xz", "dir.jsonl", "notes.txt", "pipe.jsonl")


def test_file_facts(tmp_path: Path) -> None:
    """A test file knows its digest, size, row count and data sources in order of first appearance."""
    raw = content(row("B"), row("A"), row("B"))
    (tmp_path / "t.jsonl").write_bytes(raw)
    (file,) = scan_test_dir(tmp_path).files
    assert (file.digest, file.size_bytes) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert (file.n_rows, file.data_sources, file.n_invalid) == (3, (("B", 2), ("A", 1)), 0)


@pytest.mark.parametrize(
    ("raw", "line", "what"),
    [
        (b"", 1, "the file is empty"),
        (b"\xef\xbb\xbf", 1, "nothing but blank lines"),
        (b"\n \r\n", 1, "nothing but blank lines"),
        (content(row()) + b"\n" + content(row()), 2, "blank line"),
        (content(row()) + b'{"data_source": "A", \n', 2, "invalid JSON at column 23"),
        (b'{"data_source": "\xff"}\n', 1, "invalid UTF-8 at byte 18: 0xff"),
        (content(row()) + b'{"prompt": "\0"}\n', 2, "NUL byte at byte 13"),
        (b'["a"]\n', 1, "a row must be a JSON object, got an array"),
        (b"null\n", 1, "a row must be a JSON object, got null"),
        (b'{"ground_truth": 1}\n', 1, "missing keys `data_source`, `prompt`"),
        (content(row(prompt={})), 1, "`prompt` must be a string or a list of messages, got an object"),
        (content({**row(), "data_source": None}), 1, "`data_source` must be a string, got null"),
        (content(row(prompt=True)), 1, "got a boolean"),
        (content(row(prompt=1.5)), 1, "got a number"),
        (content({**row(), "data_source": {}}), 1, "`data_source` must be a string, got an object"),
        (b'"a"\n', 1, "a row must be a JSON object, got a string"),
        (content(row("")), 1, "`data_source` is empty"),
        (b'{"data_source": "A", "prompt": "", "ground_truth": nan}\n', 1, "invalid JSON at column 52"),
        (b'{"data_source": "A", "prompt": NaN, "ground_truth": 1}\n', 1, "`prompt` must be a string or a list"),
        (b'{"data_source": "A", "prompt": "", "ground_truth": 1e999}\n', 1, "number out of range: 1e999"),
        (
            b'{"data_source": "A", "prompt": "", "ground_truth": 1' + b"0" * 300 + b"e99}\n",
            1,
            "number out of range: 10000000000000000000",
        ),
        (b'{"data_source": "A", "prompt": "", "ground_truth": ' + b"1" * 5000 + b"}", 1, "thousands of digits"),
        (b"[" * 100_000 + b"]" * 100_000, 1, "nested too deeply"),
        (content(row()).replace(b"[[1]]", b"[" * 250 + b"]" * 250), 1, "nested deeper than 200"),
        (b'{"data_source": "A", "prompt": "\\ud800", "ground_truth": 1}\n', 1, "lone surrogate"),
    ],
)
def test_bad_row_is_named_with_its_place(tmp_path: Path, raw: bytes, line: int, what: str) -> None:
    """Whatever is wrong with a row is one problem with file, line and cause."""
    (problem,) = problems_of(tmp_path, raw)
    assert problem.startswith(f"t.jsonl:{line}: ")
    assert what in problem


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n", b"\r\n  \r\n"])
def test_harmless_file_shapes(tmp_path: Path, ending: bytes) -> None:
    """A byte order mark, CRLF, blank lines at the end and a missing last line feed are fine."""
    raw = b"\xef\xbb\xbf" + content(row(), row()).replace(b"\n", b"\r\n").removesuffix(b"\r\n") + ending
    (tmp_path / "t.jsonl").write_bytes(raw)
    assert scan_test_dir(tmp_path).n_rows == 2


def test_unusual_but_valid_rows_pass(tmp_path: Path) -> None:
    """Null ground truths, escaped pairs and NULs, unknown keys and nesting up to the bound are valid."""
    deep = content(row()).replace(b"[[1]]", b"[" * 200 + b"]" * 200)
    escaped = b'{"data_source": "A", "prompt": "\\ud83d\\ude00 \\u0000", "ground_truth": null, "x": [NULL]}\n'
    (tmp_path / "t.jsonl").write_bytes(deep + escaped.replace(b"[NULL]", b"[]") + content(row(id=[[]])))
    assert scan_test_dir(tmp_path).n_rows == 3


def test_overlong_line_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line above the size limit is a problem, and the rows behind it keep their line numbers."""
    monkeypatch.setattr("bootcamp_cli.dataset.rows.MAX_LINE_BYTES", 100)
    problems = problems_of(tmp_path, content(row(), row(x="y" * 1000)) + b"[]\n" + content(row()))
    assert [problem.split(":")[1] for problem in problems] == ["2", "3"]
    assert "line longer than" in problems[0]


def test_all_problems_are_collected(tmp_path: Path) -> None:
    """Problems of all files are reported together: the first 20, and how many there are."""
    (tmp_path / "a.jsonl").write_bytes(b"[]\n" * 15)
    (tmp_path / "b.jsonl").write_bytes(content(row()) + b"[]\n" * 30)
    (tmp_path / "c.jsonl").write_bytes(content(row()))
    with pytest.raises(DatasetError, match=r"has 45 problems \(the first 20 shown\).*--skip-invalid") as caught:
        scan_test_dir(tmp_path)
    assert len(caught.value.problems) == 20
    assert caught.value.problems[15].startswith("b.jsonl:2: ")
    assert caught.value.exit_code == 2


def test_skip_invalid_leaves_bad_rows_out(tmp_path: Path) -> None:
    """With skip_invalid the good rows remain, bad ones are counted, and a file without good rows is skipped aloud."""
    (tmp_path / "a.jsonl").write_bytes(b"[]\n" + content(row()) + b"\n" + content(row()))
    (tmp_path / "b.jsonl").write_bytes(b"[]\n")
    (tmp_path / "c.jsonl").write_bytes(b"")
    test_set = scan_test_dir(tmp_path, skip_invalid=True)
    assert [(file.name, file.n_rows, file.n_invalid) for file in test_set.files] == [("a.jsonl", 2, 2)]
    assert test_set.n_problems == len(test_set.problems) == 4
    assert "a.jsonl: left out 2 invalid rows, the first: a.jsonl:1: " in test_set.warnings[0]
    assert test_set.warnings[1].startswith("b.jsonl is skipped")
    assert test_set.warnings[2].startswith("c.jsonl is skipped")


def test_nothing_left_after_skipping(tmp_path: Path) -> None:
    """A test dir in which no row is left is an error also with skip_invalid."""
    (tmp_path / "a.jsonl").write_bytes(b"[]\n")
    with pytest.raises(DatasetError, match=r"no row of test dir .* 1 invalid row left out"):
        scan_test_dir(tmp_path, skip_invalid=True)


def test_unreadable_file_is_refused_even_when_skipping(tmp_path: Path) -> None:
    """A test file that cannot be read hides an unknown number of rows: it is never passed over."""
    (tmp_path / "a.jsonl").write_bytes(content(row()))
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    for skip_invalid in (False, True):
        with pytest.raises(DatasetError) as caught:
            scan_test_dir(tmp_path, skip_invalid=skip_invalid)
        assert caught.value.problems == ("gone.jsonl:1: cannot be read: No such file or directory",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.exists, "does not exist"),
        (Path.mkdir, "holds no test file, it is empty"),
        (lambda path: (path.mkdir(), (path / "a.json").touch()), "holds no test file: only a.json"),
        (Path.touch, "is not a directory.*--include"),
    ],
)
def test_directory_that_is_none(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    """A missing directory, a file in its place and a directory without test files are named as what they are."""
    make(tmp_path / "set")
    with pytest.raises(DatasetError, match=message):
        scan_test_dir(tmp_path / "set")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), {"maze": 2, "mixed": 3, "sudoku": 2}),
        (("sudoku",), (), {"sudoku": 2}),
        (("sudoku.jsonl", "maze*"), (), {"maze": 2, "sudoku": 2}),
        (("Sudoku",), (), {"mixed": 1, "sudoku": 2}),
        ((), ("Sudoku",), {"maze": 2, "mixed": 2}),
        ((), ("mixed",), {"maze": 2, "sudoku": 2}),
        (("mixed", "Maze"), ("Sudo*",), {"maze": 2, "mixed": 2}),
        (("m?xed", "Game24"), ("Maze",), {"mixed": 2}),
    ],
)
def test_patterns_select_by_file_name_or_data_source(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: dict[str, int]
) -> None:
    """A row is in where an include pattern matches its file or data source, and no exclude pattern does."""
    (tmp_path / "sudoku.jsonl").write_bytes(content(row("Sudoku"), row("Sudoku")))
    (tmp_path / "maze.jsonl").write_bytes(content(row("Maze"), row("Maze")))
    (tmp_path / "mixed.jsonl").write_bytes(content(row("Sudoku"), row("Maze"), row("Game24")))
    test_set = scan_test_dir(tmp_path, include=include, exclude=exclude)
    assert {file.path.stem: file.n_rows for file in test_set.files} == expected
    assert test_set.warnings == ()


def test_idle_patterns_are_warned_about(tmp_path: Path) -> None:
    """A pattern that matches nothing is named; where nothing at all is selected, the scan refuses."""
    (tmp_path / "sudoku.jsonl").write_bytes(content(row()))
    test_set = scan_test_dir(tmp_path, include=["sudoku", "suduko"], exclude=["maze"])
    assert [warning.split(" matches")[0] for warning in test_set.warnings] == [
        "--include 'suduko'",
        "--exclude 'maze'",
    ]
    with pytest.raises(DatasetError, match=r"no row of test dir .* with --include 'suduko'"):
        scan_test_dir(tmp_path, include=["suduko"])


def test_problems_of_unwanted_files_do_not_count(tmp_path: Path) -> None:
    """A broken file stops nothing where it is excluded by name, or where include does not want it."""
    (tmp_path / "good.jsonl").write_bytes(content(row()))
    (tmp_path / "broken.jsonl").write_bytes(b"[]\n")
    assert scan_test_dir(tmp_path, exclude=["broken"]).n_rows == 1
    assert scan_test_dir(tmp_path, include=["good"]).n_rows == 1
    with pytest.raises(DatasetError):
        scan_test_dir(tmp_path, include=["Sudoku", "broken"])


def test_limit_is_of_selected_rows(tmp_path: Path) -> None:
    """The limit lets in the first selected rows of each file; rows behind it are still checked."""
    (tmp_path / "a.jsonl").write_bytes(content(row("Maze"), row("Sudoku"), row("Maze"), row("Sudoku")))
    (tmp_path / "b.jsonl").write_bytes(content(row("Sudoku")))
    test_set = scan_test_dir(tmp_path, exclude=["Maze"], limit=1)
    assert [(file.n_rows, file.data_sources) for file in test_set.files] == [(1, (("Sudoku", 1),))] * 2
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"[]\n")
    with pytest.raises(DatasetError):
        scan_test_dir(tmp_path, limit=1)


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        (["a", "b"], "own"),
        ([3, 1], "own"),
        ([-1, -2], "own"),
        ([0.5, 1.5], "own"),
        ([True, False], "own"),
        (["", "é"], "own"),
        (["a", "a"], "row"),
        ([1, 1.0], "row"),
        ([1, True], "row"),
        ([None, "a"], "row"),
        (["a", None], "row"),
        ([[1], [2]], "row"),
        (["1", 2], "row"),
    ],
)
def test_id_rule(tmp_path: Path, ids: list[object], rule: str) -> None:
    """A file's own ids serve where they are unique scalars of one type, else rows are numbered."""
    (tmp_path / "t.jsonl").write_bytes(content(*(row(id=own_id) for own_id in ids)))
    assert scan_test_dir(tmp_path).files[0].id_rule == rule


def test_row_without_id_ends_own_ids(tmp_path: Path) -> None:
    """One row without an id, even behind the limit, makes the whole file's ids row numbers."""
    (tmp_path / "t.jsonl").write_bytes(content(row(id=1), row()))
    assert scan_test_dir(tmp_path, limit=1).files[0].id_rule == "row"


def test_what_the_check_of_an_interrupt_raises_ends_the_scan(tmp_path: Path) -> None:
    """It is asked before each batch of lines, so that nobody waits for the end of a large file."""
    (tmp_path / "t.jsonl").write_bytes(content(*(row(prompt="x" * 1000) for _ in range(1000))))
    asked = iter([None, None])

    def check() -> None:
        if next(asked, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_test_dir(tmp_path, check=check)


def test_odd_file_names_are_shown_escaped(tmp_path: Path) -> None:
    """Names with line feeds, escapes, quotes or bytes that are no UTF-8 do no harm and are printed as one line."""
    names = [b"a\nb.jsonl", b"\x1b[2Jx.jsonl", b'it\'s "q".jsonl', b"\xff.jsonl"]
    for name in names:
        try:
            (tmp_path / os.fsdecode(name)).write_bytes(b"[]\n")
        except OSError:
            pytest.skip("the file system refuses such names")
    with pytest.raises(DatasetError) as caught:
        scan_test_dir(tmp_path)
    assert all(problem.isprintable() for problem in caught.value.problems)
    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        r"a\nb.jsonl",
        r"\x1b[2Jx.jsonl",
        'it\'s "q".jsonl',
        r"\xff.jsonl",
    }


def test_ground_truths_are_read_as_pythons_json_reads_them(tmp_path: Path) -> None:
    """NaN and the infinities are values of a ground truth, and make no row invalid; no id is one of them."""
    line = b'{"data_source": "A", "prompt": "", "ground_truth": [NaN, -Infinity, {"a": Infinity}], "id": NaN}\n'
    (tmp_path / "a.jsonl").write_bytes(content(row("A")) + line)
    [file] = scan_test_dir(tmp_path).files
    [_, sample] = iter_samples(file)
    assert repr(sample.ground_truth) == "[nan, -inf, {'a': inf}]"
    assert sample.id == 1
