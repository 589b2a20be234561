"""Quirks of the reference that the KOR puzzles keep, and what they share."""

import re
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.builtin.arithmetic.alphametic import find_digits, word_value
from bootcamp_cli.bootcamps.extraction.arithmetic import MAX_BITS, NUMBER_FUNCTIONS, evaluate
from bootcamp_cli.bootcamps.extraction.blocks import closed_brackets
from bootcamp_cli.bootcamps.extraction.values import token_rows
from tests.bootcamp_verdicts import verdict

CALCUDOKO = {
    "size": 3,
    "regions": [
        {"cells": [[1, 1], [1, 2]], "operator": "-", "target": 1},
        {"cells": [[1, 3], [2, 3]], "operator": "÷", "target": 3},
        {"cells": [[2, 1], [2, 2]], "operator": "*", "target": 6},
        {"cells": [[3, 1], [3, 2], [3, 3]], "operator": "+", "target": 6},
    ],
}
SKYSCRAPERS = {"n": 3, "top": [3, 2, 1], "bottom": [1, 2, 2], "left": [3, 2, 1], "right": [1, 2, 2]}
CAMPSITE = {"grid": [["X", "T", "X"], ["X", "X", "X"]], "row_clues": [1, 0], "col_clues": [1, 0, 0]}
LONELY = {"grid": [["X", "X", "X"]], "row_clues": [1], "col_clues": [1, 0, 0]}
CONNECT = {"letters": list("ABENNO"), "word_lengths": [2, 4], "solution": ["", ""]}
CRYPTO = {"equation": "BA+BA=CAD"}
KUKURASU = {"size": 2, "row_sums": [1, 2], "col_sums": [1, 2]}
LOGIC = {
    "assignments": [
        {"year": 1900, "windmill": "A", "family": "2"},
        {"year": 1920, "windmill": "B", "family": "De Wit"},
    ]
}
NOUNS = {"components": [["rain", "bow"], ["tea", "pot"]]}
SEARCH = {"grid": [list("TEN"), list("XOX"), list("XXW")], "word_list": ["TOW", "NET"]}
CROSSWORD = {"__solution__": [["0", "A"], ["T", "O"]]}
CLAUSE = {"problem_type": "compute_dispel", "expected": "q ∨ r"}

CASES: list[tuple[str, Any, list[str], list[str]]] = [
    (
        "KorPuzzle24Points",
        {"numbers": [2, 4, 5, 5]},
        ["2 4 + 5 - 5", "(5 × 5) - 0x1 # 4 2", "max(5, 4)*5-2**0x0", "sum([5*4, 5, 2, -0x3]) "],
        ["(5×5)-4÷2", "5*5-(4-2)-1", "24 # 2 4 5 5", "5*5-4/(2+2)", "4!", "5*5+len([4])-2"],
    ),
    (
        "KorPuzzle24Points",
        {"numbers": [1, 1, 4, 6]},
        ["4*6 # 1 1", "4×6÷1-1+0x1", "4*6/1/1.", "(4^(1-1))*6", "6*4+0j*(1-1)"],
        ["4*6*1*1=24", "4*6*1.0", "04*6*1*1", "4*6\xa0*1*1", "6(4)*1*1", "4*6*1*1,", "9**9**9**9 # 1 1 4 6"],
    ),
    ("KorPuzzleArrowMaze", CLAUSE, ["r ∨ q", "p;q ∨ r"], ["q∨r", "q v r", ""]),
    (
        "KorPuzzleCalcudoko",
        CALCUDOKO,
        ["1 2 3,2 3 1,3 1 2", "1 2 3,,\n+2\t03 1,3 1\u3000２,"],
        ["1 2 3\n2 3 1\n3 1 2", "1 2 3,2 3 1", "1 2 3,2 3 1,3 1 2.0", "1 2 3],[2 3 1],[3 1 2", "2 3 1,3 1 2,1 2 3", ""],
    ),
    (
        "KorPuzzleSkyscrapers",
        SKYSCRAPERS,
        ["1 2 3,2 3 1,3 1 2", "1 2\n3, 2 3 1, 3 1 2"],
        ["1 2 3,2 3 1,3 1 2,", "1 2 3,3 1 2,2 3 1", "1 2 3;2 3 1;3 1 2", ""],
    ),
    (
        "KorPuzzleCampsite",
        CAMPSITE,
        ["c t .,0 - ?", "C T X,,X X X,"],
        ["C T X\nX X X", "CTX,XXX", "X T C,X X X", "C X X,X X X"],
    ),
    ("KorPuzzleCampsite", LONELY, ["C T X", "c t x，"], ["C X X", "C X T", "Ｃ T X", ""]),
    (
        "KorPuzzleConnectWords",
        CONNECT,
        ["no\tbean", "NO BEAN"],
        ["NO  BEAN", "NO, BEAN", "ON BEAN", "BEAN NO", "NO", "", "[NO BEAN"],
    ),
    ("KorPuzzleConnectWords", {"letters": list("FHIS"), "word_lengths": [4], "solution": [""]}, ["ﬁsh"], ["FI SH"]),
    ("KorPuzzleConnectWords", {"letters": list("ABLL"), "word_lengths": [4], "solution": [""]}, [], ["BALL"]),
    (
        "KorPuzzleCryptoMath",
        CRYPTO,
        ["b=6,A=2,C=1,D=4", "B=6, A=02, C=+1, D=4, x, y=12, z=9", "A=5,B=6,A=2,C=1,D=4"],
        ["B=6,A=2,C=1,D=4,Z=4", "B=6,A=2,C=1", "B=6,A=2,\nC=1,D=4", "B==6,A=2,C=1,D=4", "B=6;A=2;C=1;D=4", "1"],
    ),
    ("KorPuzzleCryptoMath", {"equation": "AB+AB=CAB"}, [], ["A=0,B=0,C=0", "A=5,B=0,C=1"]),
    (
        "KorPuzzleKukurasu",
        KUKURASU,
        ["1 0, 0 1", "1. 0.，0\n1,,", "1 0,0 1,1 1"],
        ["1 0\n0 1", "1 0;0 1", "1|0,0|1", "1 | 0,0 1", "1 0,0 1,1", "１ 0,0 1", "1 0", "10,01", ""],
    ),
    (
        "KorPuzzleLogicPuzzle",
        LOGIC,
        ["1900 A 2, 1920 B De Wit", "", "no idea", "1_900 A 2\n", "1900 A 2;1920 B 9", "1920 B De Vries, 1900 A 2"],
        ["1900 A 3", "1900 a 2", "I am unsure", "Year Mill Family, 1900 A 2", "1921 A 2", "1920 B De"],
    ),
    (
        "KorPuzzleWordBrainTeasers",
        NOUNS,
        ["rain bow tea pot", '"rain" + "bow", 2. tea\npot', "rain bow tea pot]] [[42]] [[ "],
        ["rain-bow tea pot", "Rain bow tea pot", "rain bow", "rain bow tea pot]] [[nouns", "tea pot rain bow"],
    ),
    ("KorPuzzleWordRootsAndAffixes", {"affix": "ly"}, ["LY", "\u3000ly "], ["-ly", "l\ny", "[ly", "happily", ""]),
    (
        "KorPuzzleWordSearch",
        SEARCH,
        [
            "tow(0,0)(2,2)\nNET (00,2)(0,0)",
            "```\nTOW (2,2)(-0,0)\nTOW (2,2)(0,0)\nNET (0,0)(0,3)",
            "TOW (0,0)(3,3)\nNET (0,2)(0,1)",
        ],
        [
            "TOW (0,0)(2,2)",
            "NET (0,2)(0,0)\nTOW (0,0)(2,2)",
            "TOW (0, 0)(2,2)\nNET (0,2)(0,0)",
            "TOW (0,0)(1,1)\nNET (0,2)(0,0)",
        ],
    ),
    (
        "KorPuzzleWordscapes",
        CROSSWORD,
        ["0 A, T O", "0\tA,\nT\u3000O"],
        ["0 A\nT O", "0 A,T O,", "0 a,T O", "O A,T O", ""],
    ),
]


@pytest.mark.parametrize(
    ("data_source", "ground_truth", "content", "expected"),
    [
        (data_source, ground_truth, content, score)
        for data_source, ground_truth, right, wrong in CASES
        for contents, score in ((right, 1.0), (wrong, 0.0))
        for content in contents
    ],
)
def test_quirks(data_source: str, ground_truth: Any, content: str, expected: float) -> None:
    """The content of the double brackets is read and scored with the reference's strictness and its leniency."""
    assert verdict(data_source, f"<think>[[draft]]</think> [[{content}]]", ground_truth).score == expected


@settings(deadline=None)
@given(text=st.text(alphabet="[]a\n", max_size=30))
def test_closed_brackets(text: str) -> None:
    """The linear scanner finds what the quadratic expression finds."""
    assert list(closed_brackets(text)) == re.findall(r"\[\[([^\]]+)\]\]", text)


def test_token_rows() -> None:
    """Blank rows are rows on request only, and newlines separate nothing where commas do."""
    assert token_rows(" a\tb,, c\nd,", separator=",") == [["a", "b"], ["c", "d"]]
    assert token_rows("a,,b", separator=",", keep_blank=True) == [["a"], [], ["b"]]


arguments = st.lists(st.sampled_from(["0", "1", "-7", "2.5", "25", "1e30", "True"]), max_size=3).map(", ".join)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(NUMBER_FUNCTIONS)), inner=arguments, form=st.sampled_from(["{}", "[{}]", "({},)"]))
def test_functions_as_python(name: str, inner: str, form: str) -> None:
    """A function of numbers has the value that Python gives it, and none where Python raises."""
    text = f"{name}({form.format(inner)})"
    try:
        expected = repr(eval(text))  # noqa: S307 - a text of the strategies above
    except (ArithmeticError, SyntaxError, TypeError, ValueError):
        with pytest.raises((ArithmeticError, TypeError, ValueError)):
            evaluate(text, NUMBER_FUNCTIONS)
    else:
        assert repr(evaluate(text, NUMBER_FUNCTIONS)) == expected


@pytest.mark.parametrize("number", [0, 5, 7, 999, -1250])
def test_rounding_far_to_the_left(number: int) -> None:
    """Rounding an integer to any power of ten agrees with Python, and is cheap where Python's is not."""
    for places in range(-6, 3):
        assert evaluate(f"round({number}, {places})", NUMBER_FUNCTIONS) == round(number, places)
    assert evaluate(f"round({number}, -99999999999)", NUMBER_FUNCTIONS) == 0


@pytest.mark.parametrize(
    "text", ["pow(2, 3)", "abs(x=1)", "abs(*[1])", "len([1])", "[1]", "(abs)(1)(2)", "int('4')", "abs.real", "abs"]
)
def test_other_calls_refused(text: str) -> None:
    """Only the functions of numbers are called, with numbers or lists of them."""
    with pytest.raises(ValueError, match="not arithmetic"):
        evaluate(text, NUMBER_FUNCTIONS)


def test_total_work_is_bounded() -> None:
    """Many large integers are refused together where each would pass."""
    large = f"1<<{MAX_BITS - 10}"
    assert evaluate(f"sum([{large}])", NUMBER_FUNCTIONS) == 1 << MAX_BITS - 10
    with pytest.raises(ValueError, match="together"):
        evaluate(f"sum([{','.join([large] * 200)}])", NUMBER_FUNCTIONS)


words = st.text(alphabet="ABCD", min_size=1, max_size=3)


@settings(deadline=None, max_examples=40)
@given(terms=st.lists(words, min_size=1, max_size=2), total=words)
def test_find_digits(terms: list[str], total: str) -> None:
    """Digits are found exactly where trying all of them finds some, and they hold."""
    letters = sorted(set("".join([*terms, total])))
    nonzero = {word[0] for word in (*terms, total)}

    def holds(digits: dict[str, int]) -> bool:
        return sum(word_value(term, digits) for term in terms) == word_value(total, digits) and all(
            digits[letter] for letter in nonzero
        )

    tried = (dict(zip(letters, digits, strict=True)) for digits in permutations(range(10), len(letters)))
    found = find_digits(terms, total, nonzero)
    assert (found is not None) == any(map(holds, tried))
    assert found is None or (holds(found) and len({*found.values()}) == len(found) == len(letters))
