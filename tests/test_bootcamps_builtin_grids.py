"""Quirks of the reference that the built-in grid puzzles keep."""

import pytest

from tests.bootcamp_verdicts import answer, fence, verdict

SUDOKU = {"puzzle": [[1, 0, 0, 4], [0, 0, 1, 0], [0, 1, 0, 0], [4, 0, 0, 1]], "size": 4, "region_rows": 2}
SUDOKU_SOLVED = "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer(SUDOKU_SOLVED), 1.0),
        (answer("1 3 2 4\n2 4 1 3\n3 1 4 2\n4 2 3 1"), 1.0),  # a second completion
        (answer("01 +2 3 \uff14\r\n\n3 4 1 2\n\n2\t1\u30004 3\n4 3 2 1"), 1.0),
        (answer("1234\n3412\n2143\n4321"), 0.0),
        (answer(SUDOKU_SOLVED.replace(" ", ", ")), 0.0),
        (answer(SUDOKU_SOLVED + "\n" + SUDOKU_SOLVED), 0.0),
        (answer(SUDOKU_SOLVED.replace("1 2 3 4", "1 2 3 4.0")), 0.0),
        (answer("2 1 3 4\n3 4 1 2\n1 2 4 3\n4 3 2 1"), 0.0),  # a given overwritten
        (answer(SUDOKU_SOLVED) + "\nformat: " + answer("1 2 ..."), 0.0),
        ("The [answer] tag: " + answer(SUDOKU_SOLVED), 0.0),
        (answer(SUDOKU_SOLVED) + " [answer] unclosed", 1.0),
        (answer(""), 0.0),
        (SUDOKU_SOLVED, 0.0),
    ],
)
def test_sudoku(output: str, expected: float) -> None:
    """Any completion counts, in tokens that int() reads; the last tagged block decides."""
    assert verdict("Sudoku", output, SUDOKU).score == expected


MAZE = {"grid": [[0, 0, 1], [1, 0, 0], [1, 1, 0]], "start_pos": [0, 0], "end_pos": [2, 2]}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (fence("[(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]"), 1.0),
        (fence("(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)"), 1.0),
        (fence("[(0, 0), [0, 1], [1, True], [1, 0x2], (+2, 2),]  # done"), 1.0),
        (fence("[(0, 0), (0, 1), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]"), 1.0),
        ("```json[(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]```", 1.0),
        (fence("[[0, 0], [0, 1], [1, 1], [1, 2], [2, 2]]"), 0.0),
        (fence("[(0, 0), (0, 1), (0, 1), (1, 1), (1, 2), (2, 2)]"), 0.0),
        (fence("[(0, 0), (1, 1), (1, 2), (2, 2)]"), 0.0),
        (fence("[(0, 0), (0, 1.0), (1, 1), (1, 2), (2, 2)]"), 0.0),
        (fence("[(0, 0), (-3, 1), (1, 1), (1, 2), (2, 2)]"), 0.0),
        (fence("[(0, 0), (0, 1), (0, 2), (1, 2), (2, 2)]"), 0.0),
        (fence("path = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]"), 0.0),
        (fence("{0: (0, 0), -1: (2, 2)}"), 0.0),
        (fence("[(0, 0), ..., (2, 2)]"), 0.0),
        (fence("[]"), 0.0),
        (fence("[(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]") + "\n```json```", 0.0),
        ("```JSON\n[(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]\n```", 0.0),
    ],
)
def test_maze(output: str, expected: float) -> None:
    """The ends must be tuples, everything else is any Python literal that walks in single steps."""
    assert verdict("Maze", output, MAZE).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer("1 0 2"), 1.0),
        (answer("\n+1\n0_0\n\uff12\n"), 1.0),
        (answer("2 1 3"), 0.0),
        (answer("1, 0, 2"), 0.0),
        (answer("1 0"), 0.0),
        (answer("1 0 2") + answer(""), 0.0),
    ],
)
def test_aquarium(output: str, expected: float) -> None:
    """Levels count from 0 and stand between whitespace."""
    clues = {"regions": [[0, 1, 2]] * 3, "row_clues": [3, 2, 1], "col_clues": [2, 1, 3]}
    assert verdict("Aquarium", output, clues).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer("\n0 1\n1 0\n"), 1.0),
        (answer("-0 01\r\n1\t0"), 1.0),
        (answer("1 0\n0 1"), 0.0),  # valid, but not the stored one
        (answer("0 1\n\n1 0"), 0.0),
        (answer("01\n10"), 0.0),
        (answer("Row 1: 0 1\n1 0"), 0.0),
    ],
)
def test_binairo(output: str, expected: float) -> None:
    """Only the stored solution counts, and a blank line is a row."""
    assert verdict("Binairo", output, {"puzzle": [[None] * 2] * 2, "solution": [[0, 1], [1, 0]]}).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (fence("{'A': [(1, 2)], 'B': [(2, 4)], 'C': [(3, 1)], 'D': [(4, 3)]}"), 1.0),
        (fence('{"A": [[1, 2]]}'), 1.0),  # a partial answer
        (fence("{}"), 1.0),
        (fence("{'A': [(9, 9)], 'A': [(true, 2)]}"), 1.0),
        (fence("{'A': (1, 2)}"), 0.0),
        (fence("{'A': []}"), 0.0),
        (fence("{'A': [(1, 1), (1, 2)]}"), 0.0),
        (fence("{'A': [(1.0, 2)]}"), 0.0),
        (fence("{'A': [(0, 1)]}"), 0.0),
        (fence("{'a': [(1, 2)]}"), 0.0),
        (fence("{'A': [(1, 1)], 'C': [(3, 1)]}"), 0.0),  # one column
        (fence("{'A': [(2, 2)], 'C': [(3, 1)]}"), 0.0),  # corners touch
        (fence("{'A': [(1, 2)],}"), 0.0),
        (fence("[{'A': [(1, 2)]}]"), 0.0),
        (fence("{'A': [(9, 9)]}") + fence("{}"), 1.0),
        (fence("{} {}"), 0.0),
    ],
)
def test_starbattle(output: str, expected: float) -> None:
    """Only the regions that the answer lists are checked."""
    grid = [["A", "A", "A", "B"], ["A", "A", "B", "B"], ["C", "C", "D", "D"], ["C", "C", "D", "D"]]
    assert verdict("Starbattle", output, {"input_grid": grid}).score == expected
