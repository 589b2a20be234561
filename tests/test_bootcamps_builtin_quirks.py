"""Quirks of the reference that the built-in bootcamps with words and numbers keep."""

from typing import Any

import pytest

from tests.bootcamp_verdicts import answer, verdict


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("9+8-3+1", 1.0),
        ("((8/3)-1)*9", 0.0),  # 14.999999999999998
        ("9+8-3+1*1", 0.0),
        ("9+8-2", 0.0),
        ("9+8-3-1", 0.0),
    ],
)
def test_game24_floats_and_numbers(expression: str, expected: float) -> None:
    """Values are compared exactly in floating point, and the numbers must be those of the puzzle."""
    assert verdict("Game24", rf"\boxed{{{expression}}}", {"puzzle": "1 3 8 9", "target": 15}).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (r"\boxed{2+3*4+0}", 1.0),
        (r"\boxed{ **2+3\times 4+0** }", 1.0),
        (r"\boxed{\left(2+3\right)*4-0}", 0.0),
        (r"\boxed{2+3*4-0 # right}", 1.0),
        (r"\boxed{2+3*4.0}", 1.0),
        (r"\boxed{3*4+2-0x0}", 0.0),
        (r"\boxed{(4<<2)-(3-0)+~-2}", 0.0),
        (r"\boxed{2+3*4+0 if True else x}", 1.0),
        (r"\boxed{2+3*4+0=14}", 0.0),
        (r"\boxed{2+3×4+0}", 0.0),
        (r"\boxed{2+3*4+0,}", 0.0),
        (r"\boxed{(2+3*4+0}", 0.0),
        (r"\boxed{02+3*4}", 0.0),
        (r"\boxed{2+3\times\times4+0}", 0.0),
        (r"\boxed{target+2*0*3*4}", 0.0),
        (r"\boxed{2+3*4/0}", 0.0),
        (r"Use \boxed {}. \boxed{2+3*4+0}", 0.0),
        (r"\boxed 2+3*4+0$", 1.0),
        (r"\fbox{2+3*4+0}", 0.0),
        (r"\boxed{2+3*4+0} \boxed{}", 0.0),
        ("2+3*4+0", 0.0),
    ],
)
def test_game24_notation(output: str, expected: float) -> None:
    r"""What Python evaluates counts, once bold marks and LaTeX signs are gone; `\boxed ` with a blank takes over."""
    assert verdict("Game24", output, {"puzzle": "0 2 3 4", "target": 14}).score == expected


CRYPTOMATH = {
    "left_terms": ["AB", "B"],
    "right_term": "CA",
    "leading_letters": ["A", "C"],
    "all_letters": ["A", "B", "C"],
}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[[A=8,B=9,C=9]]", 0.0),  # two letters of one value
        ("[[A=2,B=6,C=3]]", 1.0),  # 26 + 6 = 32
        ("[[A=2],[B=6],[C=3]]", 1.0),
        ("[[A = 02; B=6.5 C=3]]", 1.0),
        ("[[A=12,B=66,C=13]]", 0.0),
        ("[[A=0,B=5,C=1]]", 0.0),
        ("[[A=11,B=56,C=21]]", 0.0),
        ("[[A=22,B=61,C=32]]", 1.0),  # 281 + 61 = 342: values beyond 9
        ("[[A=2,B=6,C=3,D=4]]", 0.0),
        ("[[A=2,B=6]]", 0.0),
        ("[[A=2,\nB=6,C=3]]", 0.0),
        ("[[A=2,B=6,C=3]] [[OK]]", 0.0),
        ("[[a=2,b=6,c=3]]", 0.0),
        ("[[A=\u0662,B=6,C=3]]", 1.0),
    ],
)
def test_cryptomath(output: str, expected: float) -> None:
    """Pairs are read wherever they stand on one line, and values are not limited to one digit."""
    assert verdict("Cryptomath", output, CRYPTOMATH).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("```text\nwillow\n```", 1.0),
        ("```textWILLOW```", 1.0),
        ("```text\nWILLOWS\n```", (1 - 1 / 6) * (1 - 1 / 6)),
        ("```text\nW I L L O W\n```", (1 - 5 / 6) * (1 - 5 / 6)),
        ("```text\n\n```", 0.0),
        ("```text\n" + "x" * 100_000 + "\n```", 0.0),
        ("```text draft\n```text\nWILLOW\n```", 0.0),  # the unclosed fence takes the opening backticks
        ("```\nWILLOW\n```", 0.0),
    ],
)
def test_cipher(output: str, expected: float) -> None:
    """The score is the squared similarity, case ignored, to the last bit."""
    assert verdict("Cipher", output, {"ground_truth": "WILLOW"}).score == expected


def test_cipher_of_numbers() -> None:
    """A list is expected in Python's notation; round brackets pass for square ones."""
    ground_truth = {"ground_truth": [72, 73]}
    assert verdict("Cipher", "```text\n(72, 73)\n```", ground_truth).score == 1.0
    assert verdict("Cipher", "```text\n[72,73]\n```", ground_truth).score == (1 - 1 / 8) * (1 - 1 / 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234", 1.0),
        ("1 234 pears", 1.0),
        ("1000 + 234 = **1234**", 1.0),
        ("\u22121234", 1.0),
        ("1234 phones 13", 0.0),
        ("1234.0", 0.0),
        ("- 1234", 0.0),
        ("1234 =", 0.0),
        ("1\n234", 0.0),
        ("9" * 5000, 0.0),
    ],
)
def test_object_counting(text: str, expected: float) -> None:
    """The last run of digits behind the last equals sign counts, blanks and commas being nothing."""
    assert verdict("Bbehobjectcounting", answer(text), {"correct_answer": 1234}).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer("7"), 1.0),
        (answer('"7"'), 1.0),
        (answer("+07"), 1.0),
        (answer("7.0"), 0.0),
        (answer("[7]"), 0.0),
        (answer("No"), 0.0),
        (answer(" ") + answer("7"), 0.0),
        (answer("7") + answer("8"), 1.0),
        (answer("null"), 0.0),
    ],
)
def test_word_sorting_errors(output: str, expected: float) -> None:
    """The first block decides, and a quoted number is a number."""
    ground_truth = {"subtask": "error_detection", "first_error_step": 7, "sorted_words": []}
    assert verdict("BbehWordSorting", output, ground_truth).score == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ash,\nbay , elm", 1.0),
        ('["ash", "bay", "elm"]', 1.0),
        ("Ash, bay, elm", 0.0),
        ("ash, bay, elm,", 0.0),
        ("ash bay elm", 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_word_sorting_words(text: str, expected: float) -> None:
    """Words are compared exactly, from a JSON array as well as from between commas."""
    ground_truth = {"subtask": "pure_sort", "first_error_step": "No", "sorted_words": ["ash", "bay", "elm"]}
    assert verdict("BbehWordSorting", answer(text), ground_truth).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[[B]]", 1.0),
        (r"\boxed{[[b]]}", 1.0),
        ("[[B]] [[maybe C]] [[G]] [[ A ]]", 1.0),
        ("[[B]] [[F]]", 0.0),
        ("[B]", 0.0),
        ("[[B.]]", 0.0),
    ],
)
def test_definitions(output: str, expected: float) -> None:
    """The last clean letter of A to F counts, even one that is no option."""
    ground_truth = {"options": ["A. x", "B. y"], "correct_answer": "B"}
    assert verdict("KorLogicDefinitions", output, ground_truth).score == expected


CAN_RESOLVE = {"problem_type": "can_resolve", "expected": True}
DISPEL = {"problem_type": "compute_dispel", "expected": "p ∨ ¬q"}
EMPTY_CLAUSE = {"problem_type": "compute_dispel", "expected": "0"}
ALGORITHM = {"problem_type": "algorithm_output", "expected_output": "Plausible", "steps": 2}


@pytest.mark.parametrize(
    ("ground_truth", "output", "expected"),
    [
        (CAN_RESOLVE, "[[ a ]]", 1.0),
        (CAN_RESOLVE, "[[Yes]]", 0.0),
        (CAN_RESOLVE, "[[A]]\n[[", 1.0),
        (DISPEL, "[[¬q ∨ p ∨ p]]", 1.0),
        (DISPEL, "[[0;p ∨ ¬q;r]]", 1.0),
        (DISPEL, "[[p∨¬q]]", 0.0),
        (DISPEL, "[[p ∨  ¬q]]", 0.0),
        (EMPTY_CLAUSE, "[[ 0 ]]", 1.0),
        (EMPTY_CLAUSE, "[[]]", 0.0),
        (ALGORITHM, "[[plausible ; +02]]", 1.0),
        (ALGORITHM, "[[Plausible];[2]]", 0.0),
        (ALGORITHM, "[[Plausible;2.0]]", 0.0),
        (ALGORITHM, "[[Plausible;2;]]", 0.0),
    ],
)
def test_resolution(ground_truth: dict[str, Any], output: str, expected: float) -> None:
    """Guesses may be listed, literals come in any order, and the separator needs its blanks."""
    assert verdict("KorLogicResolution", output, ground_truth).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[[3]]", 1.0),
        ("[[[03]]]", 1.0),
        ("[[\uff13]] [[three]] [[ 4 ]]", 1.0),
        ("[[3]] [[4]]", 0.0),
        ("[[" + "3" * 5000 + "]]", 0.0),
        ("[[\u00b3]]", 0.0),
    ],
)
def test_word_ladder(output: str, expected: float) -> None:
    """The last pair of brackets with digits of any script and nothing else counts."""
    assert verdict("KorPuzzleWordLadder", output, {"correct_steps": 3}).score == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("((5,10),(15,20))", 1.0),
        ("(5,10),(15,20)", 1.0),
        ("((5., 1 0,),\n(1_5, 2e1),)  # sum", 1.0),
        ("((5.0000000001,10),(15,20))", 1.0),
        ("((5.00001,10),(15,20))", 0.0),
        ("[5,10],[15,20]", 0.0),
        ("((5,10,0),(15,20))", 0.0),
        ("((5+0j,10),(15,20))", 0.0),
        ("((...,10),(15,20))", 0.0),
        ("((05,10),(15,20))", 0.0),
        (f"((0x{'f' * 400},10),(15,20))", 0.0),
        ("()", 0.0),
        ("(" * 5000, 0.0),
    ],
)
def test_weighted_matrix_sum(content: str, expected: float) -> None:
    """A tuple of tuples of real numbers counts, read without its whitespace."""
    ground_truth = {"A": [[1, 2], [3, 4]], "B": [[1, 2], [3, 4]]}
    assert verdict("KorOperationUnicode20ac", f"[[{content}]]", ground_truth).score == expected
