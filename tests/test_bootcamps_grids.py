"""Quirks of the reference that the built-in grid puzzles keep, second part; and rows that no answer is known for."""

from typing import Any

import pytest

from bootcamp_cli.bootcamps.registry import load_builtin as load
from bootcamp_cli.verification.protocol import Verified, decode_reply, encode_reply
from tests.bootcamp_verdicts import answer, fence, verdict

GROUND_TRUTHS: dict[str, Any] = {
    "Arrowmaze": {"input_grid": [["→", "↓", "↓"], ["↗", "↘", "←"], ["↑", "←", "○"]], "start_position": [0, 0]},
    "Calcudoku": {"groups": {"A": ["/", 2], "B": ["-", 1], "C": ["*", 2]}, "grid": [["A", "A"], ["B", "C"]], "size": 2},
    "Campsite": {
        "input_grid": [["T", "X", "X"], ["X", "X", "T"], ["X", "X", "X"]],
        "row_constraints": [1, 0, 1],
        "col_constraints": [0, 1, 1],
    },
    "Dominosa": {"grid": [[0, 0, 1, 1], [1, 0, 2, 2]], "n": 2},
    "Futoshiki": {
        "size": 2,
        "initial": [[0, 0], [2, 0]],
        "inequalities": [{"cell1": [0, 0], "cell2": [0, 1], "symbol": "<"}],
    },
    "Galaxies": {"rows": 1, "cols": 3, "centers": [[0, 1]]},
    "Kakurasu": {"n": 2, "row_targets": [1, 2], "col_targets": [1, 2]},
    "LightUp": {"grid": [["W", "W"], ["B2", "W"]], "rows": 2, "cols": 2},
    "Minesweeper": {"rows": 2, "cols": 3, "mines": [[0, 1], [1, 2]]},
    "Nonograms": {"rows": [[1, 1], [], [2]], "columns": [[1], [1], [1, 1]]},
    "Stitches": {"rows": 3, "cols": 3, "numbered_cells": [{"x": 0, "y": 0, "num": 2}, {"x": 1, "y": 1, "num": 0}]},
    "Tents": {"grid": [[1, 0, 0], [0, 0, 0], [0, 0, 1]], "row_clues": [1, 0, 1], "col_clues": [0, 2, 0]},
    "Thermometers": {
        "size": 3,
        "thermometers": [{"bulb": [0, 0], "path": [[0, 0], [0, 1], [0, 2]]}],
        "enforce_latin": True,
    },
    "Arc": {"task_key": "00000000", "input_grid": [[0]], "std_ans": "[[1, 0], [2, 3]]"},
}
GROUND_TRUTHS["Tents"]["solution"] = [[0, 1], [2, 1]]
ALL_LIT = "(0,0),(1,1)"
GALAXY = "'center': (0, 1), 'cells': [(0, 2), [0, 0], {0, 1}]"
SQUARE = "[(0,0),(0,1)],[(0,1),(1,1)],[(1,1),(1,0)],[(1,0),(0,0)]"
BORDER = "[(0,0),(0,1)],((0,1),(0,2)),{(0,2),(1,2)},{(1,2): 0, (2,2): 0},[(2,2),(2,1)],[(2,1),(2,0)],[(2,0),(1,0)]"


@pytest.mark.parametrize("data_source", GROUND_TRUTHS)
def test_solved(data_source: str) -> None:
    """`solve` writes an answer that scores 1.0."""
    ground_truth = GROUND_TRUTHS[data_source]
    written = load(data_source).solve(ground_truth)
    assert written is not None
    assert verdict(data_source, written, ground_truth).score == 1.0


@pytest.mark.parametrize(
    ("data_source", "output", "expected"),
    [
        ("Arrowmaze", fence("[[1, 0, 2], [0, 0, 0], [0, 0, 3]]"), 1.0),
        ("Arrowmaze", fence("[[1, 2, 0], [0, 3, 0], [0, 0, 4]]"), 1.0),
        ("Arrowmaze", fence("((0.5, 0.5, false), (-1, 7, NaN), (0, 0, Infinity))"), 1.0),
        ("Arrowmaze", fence('"[[1, 2, 0], [0, 3, 0], [0, 0, 4]]"'), 1.0),
        ("Arrowmaze", fence("[[1, 2, null], [0, 3, 0], [0, 0, 4]]"), 0.0),
        ("Arrowmaze", fence("[[1, 2, 0], [0, 3, 0], [0, 0, 4],]"), 0.0),
        ("Arrowmaze", fence("[[0, 1, 0], [0, 2, 0], [0, 0, 3]]"), 0.0),
        ("Arrowmaze", fence("[[1, 2, 0], [0, 3, 0], [0, 0, 0]]"), 0.0),
        ("Arrowmaze", fence("[[0, 0, 0], [0, 0, 0], [0, 0, 0]]"), 0.0),
        ("Arrowmaze", fence("[[1, 2], [0, 3], [0, 0]]"), 0.0),
        ("Calcudoku", "[[2 1,1 2]]", 1.0),
        ("Calcudoku", "[[+2 01], [1 \uff12]]", 1.0),
        ("Calcudoku", "[[2 1,\n1 2]] [[unclosed", 1.0),
        ("Calcudoku", "[[2 1],\n[1 2]]", 0.0),
        ("Calcudoku", "[[2 1,1 2,]]", 0.0),
        ("Calcudoku", "[[1 2,2 1]]", 0.0),
        ("Calcudoku", "[[2,1],[1,2]]", 0.0),
        ("Calcudoku", "[[2 1,1 2]] as in [[row,row]]", 0.0),
        ("Campsite", fence("[['T', 'C', 'x'], ['', null, 'T'], [0, '.', 'C']]"), 1.0),
        ("Campsite", fence('["TCX", "XXT", "XXC"]'), 1.0),
        ("Campsite", fence('["TcX", "XXT", "XXC"]'), 0.0),
        ("Campsite", fence('["TXC", "XXT", "XCX"]'), 0.0),
        ("Campsite", fence('["TCX", "XTT", "XXC"]'), 0.0),  # a tree too many
        ("Campsite", fence('"TCX XXT XXC"'), 0.0),
        ("Dominosa", answer("(0,0),(0,1)\n(0,2),(0,3)\n(1,1),(1,0)\n(1,2),(1,3)"), 1.0),
        (
            "Dominosa",
            answer("1. [((0 , 0), (00,\n1)), (\uff10,2),(0,3)] (-1,0),(0,0) (1,0),(1,1),(9,9) (1,2),(1,3)"),
            1.0,
        ),
        ("Dominosa", answer(f"(0,0),(0,1) (0,2),(0,3) (1,0),(1,1) (1,2),(1,3) (0,0),(0,{'1' * 5000})"), 1.0),
        ("Dominosa", answer("(0,0),(0,1),(0,2),(0,3),(1,0),(1,1),(1,2),(1,3)"), 1.0),
        ("Dominosa", answer("(0,0),(0,1) (0,2),(0,3) (1,0),(1,1) (1,2),(1,3) (1,3),(1,2)"), 0.0),
        ("Dominosa", answer("( 0,0),(0,1) (0,2),(0,3) (1,0),(1,1) (1,2),(1,3)"), 0.0),
        ("Dominosa", answer("(0,0),(1,0) (0,1),(1,1) (0,2),(1,2) (0,3),(1,3)"), 0.0),  # 1 and 2 twice
        ("Dominosa", answer("nothing here"), 0.0),
        ("Futoshiki", answer("[[1, 2], [2, 1]]"), 1.0),
        ("Futoshiki", answer("(True, 2.0), [0x2, +1]  # done"), 1.0),
        ("Futoshiki", answer("[1, 2], {0: 2, 1: 1}"), 0.0),
        ("Futoshiki", answer("[[1, 2], [2, 1]],"), 0.0),
        ("Futoshiki", answer("[1+0j, 2], [2, 1]"), 0.0),
        ("Futoshiki", answer("[[2, 1], [1, 2]]"), 0.0),
        ("Galaxies", answer(f"[{{{GALAXY}, 'name': None}}]"), 1.0),
        ("Galaxies", answer(f"({{{GALAXY}}},)"), 0.0),
        ("Galaxies", answer(f"[{{{GALAXY.replace('[(', '((').replace('}]', '})')}}}]"), 0.0),
        ("Galaxies", answer(f"[{{{GALAXY}}}, {{}}]"), 0.0),
        (
            "Galaxies",
            answer("[{'center': (0, 1), 'cells': [(0, 1)]}, {'center': (0, 1), 'cells': [(0, 0), (0, 2)]}]"),
            0.0,
        ),
        ("Galaxies", answer("[{'center': (0, 1), 'cells': [(0, 0), (0, 1), (0, 2), (0, 1)]}]"), 0.0),
        ("Galaxies", answer("[]"), 0.0),
        ("Kakurasu", answer("([[True, -0], [0.0, 1+0j]])"), 1.0),
        ("Kakurasu", answer("[1, 0], [0, 1]"), 0.0),
        ("Kakurasu", answer("[(1, 0), (0, 1)]"), 0.0),
        ("Kakurasu", answer("[[1, None], [0, 1]]"), 0.0),
        ("Kakurasu", answer("[[3, -1], [0, 1]]"), 0.0),
        ("LightUp", answer(f"[{ALL_LIT}]"), 1.0),
        ("LightUp", answer(f"{{{ALL_LIT}, (0, False)}}"), 1.0),
        ("LightUp", answer("{(0, 0): 1,\n(1, 1): 2}  "), 1.0),
        ("LightUp", answer("[(0, 1)]"), 0.0),  # no bulb beside the clue
        ("LightUp", answer("[(0, 0), (1, 1), (1, True)]"), 0.0),
        ("LightUp", answer("(0, 0)"), 0.0),
        ("LightUp", answer("[[0, 0], [1, 1]]"), 0.0),
        ("LightUp", answer("[(0, 0),  # first\n(1, 1)]"), 0.0),
        ("LightUp", answer("[]"), 0.0),
        ("Minesweeper", answer("[[1, 2], [0.0, True], [1, 2],]"), 1.0),
        ("Minesweeper", answer("[0, 1], [1, 2]"), 0.0),
        ("Minesweeper", answer("[(0, 1), (1, 2)]"), 0.0),
        ("Minesweeper", answer("[[0, 1+0j], [1, 2]]"), 0.0),
        ("Minesweeper", answer("[[0, 1], [1, 2], [0, -1]]"), 0.0),
        ("Nonograms", answer("X.x\n\n\u25a1 O 0\r\n.XX"), 1.0),
        ("Nonograms", answer("X X\n...\n XX"), 0.0),  # blanks, as the prompt has them
        ("Nonograms", answer("X.\uff38\n...\n.XX"), 0.0),
        ("Nonograms", answer("X.X\n...\n.XX\n..."), 0.0),
        ("Nonograms", answer(""), 0.0),
        ("Stitches", answer(f"[{BORDER},[(1,0),(0,0)],[(0,1),(0,0)]]"), 1.0),
        ("Stitches", answer(f"[{BORDER}]"), 0.0),
        ("Stitches", answer(f"[{SQUARE}]"), 0.0),  # over the point that has none
        ("Stitches", answer(f"{BORDER},[(1,0),(0,0)]"), 0.0),
        ("Stitches", answer("[[[0,0],[0,1]]]"), 0.0),
        ("Stitches", answer("[]"), 0.0),
        ("Tents", answer("[(1, 2), (3, 0x2)]"), 1.0),
        ("Tents", answer("[(True, 2), (3, 2),]"), 1.0),
        ("Tents", answer("[(0, 1), (2, 1)]"), 0.0),
        ("Tents", answer("[(1, 2), (3, 2), (1, 2)]"), 0.0),
        ("Tents", answer("[(1, 2), (3.0, 2)]"), 0.0),
        ("Tents", answer("[[1, 2], [3, 2]]"), 0.0),
        ("Tents", answer("{(1, 2), (3, 2)}"), 0.0),
        ("Thermometers", answer("01 +2 \uff13\r\n\n2 3 1\n3 1 2"), 1.0),
        ("Thermometers", answer("3 2 1\n2 1 3\n1 3 2"), 0.0),
        ("Thermometers", answer("1 2 3\n2 3 1"), 0.0),
        ("Thermometers", answer("1 2\n2 1"), 0.0),
        ("Arc", "draft [[0]], then [ [true, 0], [2, 3.0] ] [[note]]", 1.0),
        ("Arc", "[[1, 0], [2, 3]], and for [[1, 0], [2, 3],\n] I am sure", 1.0),
        ("Arc", "[[1, 0], [2, 3]] [[1]](link)", 0.0),
        ("Arc", "[[[1, 0], [2, 3]]]", 0.0),
        ("Arc", "[[1, 0], [2, 3]\u00a0]", 0.0),
        ("Arc", "[[1, 0], [2, 3], 4]]", 0.0),
        ("Arc", "no grid", 0.0),
    ],
)
def test_quirks(data_source: str, output: str, expected: float) -> None:
    """What each puzzle takes for an answer is what the reference takes."""
    assert verdict(data_source, output, GROUND_TRUTHS[data_source]).score == expected


def test_calcudoku_ratio() -> None:
    """A ratio group is scored without the divisors that equal the dividend, which makes some puzzles unwinnable."""
    grid = [["A", "A", "B"], ["A", "C", "C"], ["D", "D", "D"]]
    groups = {"A": ["/", 1], "B": ["+", 3], "C": ["+", 4], "D": ["+", 6]}
    ground_truth = {"groups": groups, "grid": grid, "size": 3}
    solved = "[[1 2 3,2 3 1,3 1 2]]"
    assert verdict("Calcudoku", solved, ground_truth).score == 0.0
    assert load("Calcudoku").solve(ground_truth) is None
    assert verdict("Calcudoku", solved, ground_truth | {"groups": groups | {"A": ["/", 2]}}).score == 1.0


def test_tents_sharing() -> None:
    """A tree with two tents beside it is refused, a tent with two trees is not."""
    two_tents = {"grid": [[0, 1, 0], [0, 0, 0], [0, 0, 0]], "row_clues": [2, 0, 0], "col_clues": [1, 0, 1]}
    two_trees = {"grid": [[1, 0, 1], [0, 0, 0], [0, 0, 0]], "row_clues": [1, 0, 0], "col_clues": [0, 1, 0]}
    assert verdict("Tents", answer("[(1, 1), (1, 3)]"), two_tents).score == 0.0
    assert verdict("Tents", answer("[(1, 2)]"), two_trees).score == 1.0


@pytest.mark.parametrize("output", ["[[1]]", "no grid"])
def test_arc_row_without_answer(output: str) -> None:
    """A row whose expected grid is not known has no score, whether the output holds a grid or not, and says why."""
    ground_truth = {"task_key": "00000000", "input_grid": [[0]]}
    got = verdict("Arc", output, ground_truth)
    assert (got.score, got.failure) == (None, "unscored")
    assert "ARC task '00000000'" in (got.error or "")
    assert load("Arc").solve(ground_truth) is None
    sent = encode_reply(Verified(id=1, verdict=got, retire=False))
    assert decode_reply(sent) == Verified(id=1, verdict=got, retire=False)
