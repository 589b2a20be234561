"""The samples of a run as they are looked at: by what became of them, searched, paired, in parts, as boards."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootcamp_cli.analysis.answer_parts import pieces
from bootcamp_cli.analysis.audit import Cause
from bootcamp_cli.analysis.boards import Board, boards
from bootcamp_cli.analysis.compare import compare
from bootcamp_cli.analysis.contents import read_run
from bootcamp_cli.analysis.questions import read_scores
from bootcamp_cli.analysis.samples import (
    Filter,
    PairKind,
    RunSamples,
    Samples,
    ShownSample,
    Status,
    pair_runs,
)
from bootcamp_cli.errors import RunDirectoryError, UsageError
from bootcamp_cli.store.run_dir import RunDir
from bootcamp_cli.types import SampleKey, encode_line
from tests.run_directories import write_run, write_run_of_run_eval
from tests.test_store_journal import a_failure, a_record

FIXTURES = Path(__file__).parent / "fixtures" / "runs"

BY_ACCOUNT = {
    Status.RIGHT: "correct",
    Status.WRONG: "wrong",
    Status.TRUNCATED: "truncated",
    Status.EMPTY: "empty",
    Status.FILTERED: "filtered",
    Status.UNSCORED: "without_verdict",
    Status.UNVERIFIED: "without_verdict",
}


def samples_of(path: Path) -> Samples:
    """The samples of a run directory."""
    run = RunSamples(RunDir(path))
    run.refresh()
    return run.current


def keys(samples: Samples, wanted: Filter, **known: Any) -> list[tuple[str, int, int]]:
    """Which samples fit."""
    found = (samples.key(position) for position in samples.select(wanted, **known).tolist())
    return [(key.file, key.row, key.repeat) for key in found]


def shown(output: str | None, *, reasoning: str | None = None, data_source: str = "Sudoku") -> ShownSample:
    """A sample with an output."""
    return ShownSample(
        file="a.jsonl",
        row=0,
        repeat=0,
        id=0,
        data_source=data_source,
        family="grids",
        status="wrong",
        output=output,
        reasoning_content=reasoning,
    )


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_every_sample_counts_as_the_reports_count_it(name: str) -> None:
    """Of stored runs of all kinds the numbers by status are those of the account, and of failures."""
    samples, summary = samples_of(FIXTURES / name), read_run(RunDir(FIXTURES / name)).summary
    counts = samples.counts()["status"]
    found: dict[str, int] = {}
    for status, part in BY_ACCOUNT.items():
        found[part] = found.get(part, 0) + counts.get(status, 0)
    assert found == {part: getattr(summary.account, part) for part in found}
    assert counts.get("failed", 0) == summary.n_failed
    assert sum(samples.counts()["file"].values()) == len(samples) == summary.n_answered + summary.n_failed
    assert samples.counts()["family"] == {
        family: part.n_answered + part.n_failed
        for family, part in summary.families.items()
        if part.n_answered + part.n_failed
    }


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_every_sample_can_be_opened(name: str) -> None:
    """Each has its texts and values as they stand in details, or its failure."""
    samples = samples_of(FIXTURES / name)
    for position in range(len(samples)):
        sample = samples.open(position)
        key = samples.key(position)
        assert (sample.file, sample.row, sample.repeat) == (key.file, key.row, key.repeat)
        assert samples.position(key) == position
        if sample.status == Status.FAILED:
            assert sample.output is None
            assert sample.failure
        else:
            assert sample.output is not None
            assert sample.prompt


def test_an_answer_that_got_its_verdict_later_is_one_sample(tmp_path: Path) -> None:
    """Of a line without and one with a verdict the later one counts; samples stand in the order of row and repeat."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0], [None], [0.0]]}, failure="pending", planned={"Sums": 3})
    with (run / "details" / "Sums.jsonl").open("ab") as file:
        file.write(encode_line(replace(a_record(1), data_source="Sums", score=1.0)))
    samples = samples_of(run)
    assert [samples.listed([i])[0]["status"] for i in range(len(samples))] == ["right", "right", "wrong"]


def test_a_failure_counts_until_its_sample_has_a_record(tmp_path: Path) -> None:
    """Failed samples stand where they would be, with the last failure; one that was answered since does not."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0], [1.0]]}, planned={"Sums": 5})
    failures = [
        replace(a_failure(row, kind), file="Sums.jsonl")
        for row, kind in ((3, "timeout"), (0, "http_400"), (3, "connection"))
    ]
    (run / "failures.jsonl").write_bytes(b"".join(map(encode_line, failures)))
    samples = samples_of(run)
    assert keys(samples, Filter(status=Status.FAILED)) == [("Sums.jsonl", 3, 0)]
    opened = samples.open(2)
    assert (opened.failure, opened.failure_message, opened.attempts) == ("connection", "why", 17)
    assert [samples.key(p).row for p in samples.search(range(3), "WHY")] == [3]


def test_filters_must_all_hold(tmp_path: Path) -> None:
    """File, family, row, repeat, status, cause and disagreement narrow the samples together."""
    run = write_run(
        tmp_path / "run", {"Sudoku": [[1.0, 0.0], [1.0, 1.0], [0.0, None]], "Sums": [[0.0, 0.0]]}, repeats=2
    )
    samples = samples_of(run)
    assert len(samples) == 8
    assert keys(samples, Filter(disagree=True)) == [("Sudoku.jsonl", 0, 0), ("Sudoku.jsonl", 0, 1)]
    assert keys(samples, Filter(disagree=True, status=Status.WRONG)) == [("Sudoku.jsonl", 0, 1)]
    assert keys(samples, Filter(family="grids", repeat=1, row=1)) == [("Sudoku.jsonl", 1, 1)]
    assert keys(samples, Filter(file="Sums.jsonl", row=-1)) == keys(samples, Filter(row=10**20)) == []
    assert keys(samples, Filter(file="none.jsonl")) == []
    assert keys(samples, Filter(data_source="Sums", repeat=0)) == [("Sums.jsonl", 0, 0)]
    causes = {SampleKey("Sums.jsonl", 0, 1): Cause.EMPTY, SampleKey("Sudoku.jsonl", 0, 0): Cause.EMPTY}
    assert keys(samples, Filter(cause=Cause.EMPTY), causes=causes) == [("Sums.jsonl", 0, 1)]
    assert keys(samples, Filter(cause=Cause.EMPTY)) == []


def test_a_file_may_be_named_without_its_ending(tmp_path: Path) -> None:
    """A test file's name is completed; one that is not there is an error that names a close one."""
    samples = samples_of(write_run(tmp_path / "run", {"Sudoku": [[1.0]]}))
    assert samples.named_file("Sudoku") == samples.named_file("Sudoku.jsonl") == "Sudoku.jsonl"
    with pytest.raises(UsageError, match="did you mean Sudoku"):
        samples.named_file("sudok")


def test_runs_of_run_eval_get_their_data_sources(tmp_path: Path) -> None:
    """Records that do not name theirs have the data source that meta.jsonl tells."""
    samples = samples_of(write_run_of_run_eval(tmp_path / "run", {"Sudoku": [[1.0], [0.0]]}))
    assert [item["data_source"] for item in samples.listed([0, 1])] == ["Sudoku", "Sudoku"]
    assert samples.counts()["family"] == {"grids": 2}


def test_odd_records_can_be_looked_at(tmp_path: Path) -> None:
    """Records of other tools with values of any type are shown as far as they go."""
    (tmp_path / "run" / "details").mkdir(parents=True)
    lines = [
        '{"prompt": ["p"], "output": {"a": 1}, "ground_truth": NaN, "score": true}',
        '{"id": 1, "prompt": "p", "output_len": 4, "ground_truth": 2, "score": 0.5, "extracted_output": ',
        '{"prompt": "\\ud800", "output": "x", "reasoning_content": 7, "row": 4, "data_source": "Sums", "repeat": -3}',
        '{"output": null}',
    ]
    (tmp_path / "run" / "details" / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    samples = samples_of(tmp_path / "run")
    opened = [samples.open(position) for position in range(len(samples))]
    assert [sample.status for sample in opened] == ["right", "wrong", "unscored", "unscored"]
    assert [sample.output for sample in opened] == ['{"a": 1}', "", "null", "x"]
    assert [sample.is_half for sample in opened] == [False, True, False, False]
    assert opened[3].prompt == "\ud800"


def test_more_is_there_when_a_run_goes_on(tmp_path: Path) -> None:
    """Reading again finds what was appended, and an earlier snapshot stays as it was."""
    run_dir = write_run(tmp_path / "run", {"Sums": [[1.0]]}, planned={"Sums": 2})
    run = RunSamples(RunDir(run_dir), tmp_path / "cache")
    run.refresh()
    before = run.current
    with (run_dir / "details" / "Sums.jsonl").open("ab") as file:
        file.write(encode_line(replace(a_record(1), data_source="Sums")))
    run.refresh()
    assert (len(before), len(run.current), run.n_planned) == (1, 2, 2)
    run.refresh()
    assert run.current is run.current


def test_the_first_samples_are_there_as_soon_as_they_are_read(tmp_path: Path) -> None:
    """Who looked before anything was read does not wait for a second to see the first samples."""
    run = RunSamples(RunDir(write_run(tmp_path / "run", {"Maze": [[1.0]], "Sums": [[0.0]]})))
    seen: list[int] = []
    run.refresh(lambda *_: seen.append(len(run.current)))
    assert seen[:2] == [0, 1]


def test_a_record_that_moved_is_not_mistaken_for_another(tmp_path: Path) -> None:
    """Where a file changed since it was read, opening says so."""
    run = write_run(tmp_path / "run", {"Sums": [[1.0], [0.0]]})
    samples = samples_of(run)
    path = run / "details" / "Sums.jsonl"
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RunDirectoryError, match="not where it was"):
        samples.open(0)


@pytest.mark.parametrize(
    ("needle", "rows"),
    [
        ("ONE", [0]),
        ("数独", [0, 1]),
        ('say "hi"\\', [1]),
        ("two\nlines", [1]),
        ("deep", [2]),
        ("output", []),
        ("É", [2]),
        ("é", []),
        ("\x1b[31m", [0]),
    ],
)
def test_text_is_found_wherever_it_stands(tmp_path: Path, needle: str, rows: list[int]) -> None:
    """In prompts, answers and values, however JSON spells them; keys are not searched; A to Z are as a to z."""
    (tmp_path / "run" / "details").mkdir(parents=True)
    records = [
        {"prompt": "数独 one \x1b[31m", "output": "x", "ground_truth": 1},
        {"prompt": "数独", "output": 'say "hi"\\ or two\nlines', "ground_truth": 1},
        {"prompt": "p", "output": "x", "ground_truth": {"a": ["deep", "É"]}},
    ]
    for is_ascii in (True, False):
        path = tmp_path / "run" / "details" / "a.jsonl"
        path.write_text("".join(json.dumps(each, ensure_ascii=is_ascii) + "\n" for each in records), encoding="utf-8")
        samples = samples_of(tmp_path / "run")
        assert [samples.key(position).row for position in samples.search(range(3), needle)] == rows


def test_a_search_can_be_stopped(tmp_path: Path) -> None:
    """Nothing more is read once nobody waits."""
    samples = samples_of(write_run(tmp_path / "run", {"Sums": [[1.0], [0.0]]}))
    assert list(samples.search([0, 1], "what", stopped=lambda: True)) == []


def test_pairs_are_those_of_compare(tmp_path: Path) -> None:
    """Questions that only one run got right are the flips of a comparison, also where their files have other names."""
    a = write_run(tmp_path / "a", {"Sums": [[1.0], [1.0], [0.0], [0.0], [None]], "Maze": [[1.0]]})
    b = write_run(tmp_path / "b", {"Sums": [[0.0], [1.0], [1.0], [0.0], [1.0]], "Maze": [[0.0]]})
    (b / "details" / "Maze.jsonl").rename(b / "details" / "Other.jsonl")
    (b / "manifest.json").write_text(
        (b / "manifest.json").read_text("utf-8").replace("Maze.jsonl", "Other.jsonl"), "utf-8"
    )
    samples, other = samples_of(a), samples_of(b)
    pairing = pair_runs(RunDir(a), RunDir(b))
    found = {kind: keys(samples, Filter(pairs=frozenset({kind})), pairing=pairing) for kind in PairKind}
    assert found == {
        PairKind.ONLY_A: [("Maze.jsonl", 0, 0), ("Sums.jsonl", 0, 0)],
        PairKind.ONLY_B: [("Sums.jsonl", 2, 0)],
        PairKind.BOTH_WRONG: [("Sums.jsonl", 3, 0)],
        PairKind.BOTH_RIGHT: [("Sums.jsonl", 1, 0)],
    }
    baseline, *others = read_scores({"a": RunDir(a), "b": RunDir(b)})
    compared = compare(baseline, others).runs[0]
    assert {(flip.baseline_file, flip.baseline_row) for flip in compared.worse} == {
        key[:2] for key in found[PairKind.ONLY_A]
    }
    assert {(flip.baseline_file, flip.baseline_row) for flip in compared.better} == {("Sums.jsonl", 2)}
    partner = samples.partner(0, pairing, other)
    assert partner is not None
    assert other.key(partner) == SampleKey("Other.jsonl", 0, 0)
    with pytest.raises(UsageError, match="no question in common"):
        pair_runs(RunDir(a), RunDir(write_run(tmp_path / "c", {"Cipher": [[1.0]]})))


def test_the_partner_is_of_the_same_repeat_if_there_is_one(tmp_path: Path) -> None:
    """Beside an answer stands the other run's answer of the same number, else its first."""
    a = write_run(tmp_path / "a", {"Sums": [[1.0, 0.0, 1.0]]})
    b = write_run(tmp_path / "b", {"Sums": [[0.0, 1.0]]})
    samples, other = samples_of(a), samples_of(b)
    pairing = pair_runs(RunDir(a), RunDir(b))
    assert [samples.partner(position, pairing, other) for position in range(3)] == [0, 1, 0]


TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "[answer]", "[/answer]", "[[1]]", "\\boxed{2}", "```json", "```", "a", "\n"]
    )
).map("".join)


@given(output=TEXTS, reasoning=st.none() | TEXTS, data_source=st.sampled_from(["Sudoku", "Maze", "Unknown"]))
@example(output="<think>never ends [answer]1[/answer]", reasoning=None, data_source="Sudoku")
def test_the_parts_of_an_answer_are_the_answer(output: str, reasoning: str | None, data_source: str) -> None:
    """Together they are reasoning and output; at most one block is marked; what follows the thinking is none."""
    found = pieces(shown(output, reasoning=reasoning, data_source=data_source))
    assert "".join(piece.text for piece in found) == (reasoning or "") + output
    assert sum(piece.answer for piece in found) <= 1
    if "</think>" in output:
        rest = output.rpartition("</think>")[2]
        assert "".join(piece.text for piece in found if not piece.thinking) == rest


def test_the_asked_block_is_marked() -> None:
    """The last block of the asked kind is the answer, also where it stands in thinking that has no end."""
    text = "<think>[answer]1[/answer]</think>so [[2]] [answer]3[/answer] done"
    assert [(piece.text, piece.thinking) for piece in pieces(shown(text)) if piece.answer] == [
        ("[answer]3[/answer]", False)
    ]
    for endless in ("<think>[answer]1[/answer]", "<think>[answer]1[/answer]</think>"):
        assert [piece.thinking for piece in pieces(shown(endless)) if piece.answer] == [True]
    assert [piece.text for piece in pieces(shown("[[1]] \\boxed{2}", data_source="Unknown")) if piece.answer] == [
        "\\boxed{2}"
    ]


GIVENS = [[1, 0, 0, 4], [0, 4, 1, 0], [2, 0, 4, 0], [0, 3, 0, 1]]
PUZZLE = {"puzzle": GIVENS, "size": 4, "region_rows": 2}


def marked(board: Board, mark: str) -> set[tuple[int, int]]:
    """The cells that have a mark."""
    return {(r, c) for r, row in enumerate(board.rows) for c, cell in enumerate(row) if mark in cell.marks}


def test_a_sudoku_is_drawn_with_what_is_wrong() -> None:
    """Givens are marked; so is a changed given, and each of two equal digits in a row, column or box."""
    answer = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
    (board,) = boards("Sudoku", PUZZLE, answer)
    assert (board.box, marked(board, "wrong")) == (2, set())
    assert [cell.text for cell in board.rows[0]] == ["1", "2", "3", "4"]
    assert marked(board, "given") == {(r, c) for r, row in enumerate(GIVENS) for c, n in enumerate(row) if n}
    (board,) = boards("Sudoku", PUZZLE, [[2, 2, 3, 4], *answer[1:]])
    assert marked(board, "wrong") == {(0, 0), (0, 1), (2, 0)}
    (board,) = boards("Sudoku", PUZZLE, "nothing of the kind")
    assert [cell.text for cell in board.rows[0]] == ["1", "", "", "4"]


def test_a_maze_is_drawn_with_the_path() -> None:
    """The path is marked, and what is wrong with it: a wall, a jump, a cell outside."""
    maze = {"grid": [[0, 1, 0], [0, 0, 0], [1, 1, 0]], "start_pos": [0, 0], "end_pos": [2, 2]}
    (board,) = boards("Maze", maze, [[0, 0], [1, 0], [1, 1], [1, 2], [2, 2]])
    assert (marked(board, "wrong"), marked(board, "wall")) == (set(), {(0, 1), (2, 0), (2, 1)})
    assert marked(board, "path") == {(0, 0), (1, 0), (1, 1), (1, 2), (2, 2)}
    assert (board.rows[0][0].text, board.rows[2][2].text) == ("S", "E")
    (board,) = boards("Maze", maze, [[0, 0], [0, 1], [1, 2], [-1, 5]])
    assert marked(board, "wrong") == {(0, 1), (1, 2)}
    assert "1 of its cells outside" in board.title


def test_other_grids_are_drawn_as_they_are() -> None:
    """Of other puzzles the grids of the ground truth and of the answer are boards."""
    truth = {"puzzle": [[None, 1], [0, None]], "n": 4, "name": "x", "long": [[["a"], 1], [1, 1]]}
    found = boards("Binairo", truth, [["1", "0"], ["0", "1"]])
    assert [board.title for board in found] == ["puzzle", "answer"]
    assert [cell.text for cell in found[0].rows[0]] == ["", "1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["puzzle", "grid", "region_rows", "size", "start_pos", "end_pos", "x"]), inner, max_size=5
        )
    ),
    max_leaves=30,
)


@given(data_source=st.sampled_from(["Sudoku", "Maze", "Arc"]), truth=JSON, answer=JSON)
def test_no_value_breaks_a_board(data_source: str, truth: Any, answer: Any) -> None:
    """Whatever rows and answers hold, drawing them raises nothing and gives rectangles."""
    for board in boards(data_source, truth, answer):
        assert len({len(row) for row in board.rows}) == 1
