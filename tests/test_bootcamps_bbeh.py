"""Quirks of the reference that the built-in BBEH bootcamps keep."""

from typing import Any

import pytest

from bootcamp_cli.bootcamps.registry import load_builtin as load
from tests.bootcamp_verdicts import answer, verdict


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[ANSWER]\n7\n[/Answer]", 1.0),
        (answer("7") + answer("Thought 8"), 1.0),
        ("in [answer] tags: " + answer("7"), 1.0),
        (answer("7") + answer("8"), 0.0),
        (answer("07"), 0.0),
        (answer("\uff17"), 0.0),
        (answer("7."), 0.0),
    ],
)
def test_dyck_languages(output: str, expected: float) -> None:
    """Only blocks of digits are seen, and digits are compared as text."""
    assert verdict("BbehDyckLanguages", output, {"error_step": 7}).score == expected


@pytest.mark.parametrize(("text", "expected"), [("NO", 1.0), (" no ", 1.0), ("7", 0.0), ("none", 0.0), ("null", 0.0)])
def test_dyck_languages_without_error(text: str, expected: float) -> None:
    """A clean trace is answered by "No" in any case."""
    assert verdict("BbehDyckLanguages", answer(text), {"error_step": None}).score == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (r"\boxed{ 3 }", 1.0),
        (r"$\boxed 3$ and \boxed{4}", 1.0),
        (r"\boxed 3", 1.0),
        (r"\boxed 3.", 0.0),
        (r"put it in \boxed {}: \boxed{3}", 0.0),
        (r"\boxed{03}", 0.0),
        (r"\boxed{\text{3}}", 0.0),
        (r"\boxed{3} \boxed{", 0.0),
        (r"\fbox{3}", 0.0),
    ],
)
def test_geometric_shapes(output: str, expected: float) -> None:
    r"""The number is compared as text, and `\boxed ` with a blank takes over."""
    assert verdict("BbehGeometricShapes", output, {"ans": "3"}).score == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1_2", 1.0),
        ("\u00a0+1.2e1\n", 1.0),
        ("\uff11\uff12", 1.0),
        ("12\x1c", 1.0),
        ("12.0000009", 1.0),
        ("12.0000011", 0.0),
        ("1,2", 0.0),
        ("= 12", 0.0),
        ("0xc", 0.0),
        ("nan", 0.0),
        ("-inf", 0.0),
        ("", 0.0),
    ],
)
def test_multistep_arithmetic(text: str, expected: float) -> None:
    """What float() reads counts, within an absolute tolerance."""
    assert verdict("BbehMultistepArithmetic", answer(text), {"answer": 12}).score == expected


@pytest.mark.parametrize(
    ("output", "expected", "extracted"),
    [
        (r"\boxed{30,4}", 1.0, [30, 4]),
        ("\\boxed{\n030\u00a0,\uff14 }", 1.0, [30, 4]),
        ("\\boxed{30\x1c,4}", 1.0, [30, 4]),
        (r"\boxed{30,4} \boxed{(1, 2)}", 1.0, [30, 4]),
        (r"\boxed{30,4} \boxed{4,30}", 0.0, [4, 30]),
        (r"\boxed {30,4}", 0.0, [-1, -1]),
        (r"\boxed{30.0,4}", 0.0, [-1, -1]),
        (r"\boxed{30,4} \boxed{" + "9" * 5000 + ",4}", 0.0, [-1, -1]),
        ("30, 4", 0.0, [-1, -1]),
    ],
)
def test_temporal_sequences(output: str, expected: float, extracted: list[int]) -> None:
    """Only boxes of two bare numbers are seen; without any the answer is a pair that is wrong everywhere."""
    got = verdict("BbehTemporalSequences", output, {"solution": {"max_duration": 30, "count": 4}})
    assert (got.score, got.extracted) == (expected, extracted)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (answer("yes, no, unknown"), 1.0),
        ("[Answer]\n< YES ,\nNo,Unknown[/ANSWER]", 1.0),
        (answer("yes,no,unknown >"), 1.0),
        (answer("yes, no, unknown") + answer("no, no, no."), 1.0),
        (answer("yes, no, unknown") + answer("no, no, no"), 0.0),
        (answer("<<yes, no, unknown>>"), 0.0),
        (answer("yes\uff0cno\uff0cunknown"), 0.0),
        (answer("yes, no"), 0.0),
        (answer("no, yes, unknown"), 0.0),
    ],
)
def test_web_of_lies(output: str, expected: float) -> None:
    """Only blocks of three words are seen, a single angle bracket being allowed on either side."""
    assert verdict("BbehWebOfLies", output, {"solution": ["yes", "no", "unknown"]}).score == expected


@pytest.mark.parametrize(
    "output", ["[answer]" + " " * 100_000, answer("<" + " " * 100_000), answer("no,no,no" + " " * 100_000 + ".")]
)
def test_web_of_lies_without_backtracking(output: str) -> None:
    """Blanks without end are passed once."""
    assert verdict("BbehWebOfLies", output, {"solution": ["no", "no", "no"]}).score == 0.0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("[ANSWER] Disproved\n[/answer]", 1.0),
        ("Not proved, but disproved.", 1.0),
        ("[answer]disproved", 1.0),
        ("\u7b54\u6848\u662f disproved\u3002", 1.0),
        ("\u7b54\u6848\u662fdisproved", 0.0),
        ("disproved, not unknown", 0.0),
        ("disproved" + answer(""), 0.0),
        (answer("disproved") + answer("**disproved**"), 0.0),
        (answer("proved"), 0.0),
    ],
)
def test_board_game_qa(output: str, expected: float) -> None:
    """The last block decides, and where there is none the last of the words that stands alone."""
    assert verdict("Bbehboardgameqa", output, {"answer": "disproved"}).score == expected


@pytest.mark.parametrize(
    ("text", "extracted"),
    [("\nc) right", "C"), ("Choice D", "C"), ("Every", "E"), ("(C)", None), ("\uff23", None), ("", None), ("F", None)],
)
def test_boolean_expressions(text: str, extracted: str | None) -> None:
    """The first character of the block is the letter, whatever follows."""
    got = verdict("Bbehbooleanexpressions", answer(text), {"answer": 2})
    assert (got.score, got.extracted) == (float(extracted == "C"), extracted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("-0", 0), ("+0_7", 7), ("\u0667", 7), ("Unknown", "unknown")],
)
def test_object_properties(text: str, expected: int | str) -> None:
    """What int() reads counts; a stored word is compared without case."""
    assert verdict("Bbehobjectproperties", answer(text), {"correct_answer": expected}).score == 1.0


@pytest.mark.parametrize("text", ["7.0", "7 items", "**7**", "seven", ""])
def test_object_properties_of_another_form(text: str) -> None:
    """Anything beside the integer is wrong."""
    assert verdict("Bbehobjectproperties", answer(text), {"correct_answer": 7}).score == 0.0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("<answer>\nPARTNER c </answer>", 1.0),
        ("<answer>x</answer><answer>partner C</answer>", 1.0),
        ("in <answer> tags: <answer>partner C</answer>", 0.0),
        ("<answer>partner C</answer><answer></answer>", 0.0),
        ("<answer>partner  C</answer>", 0.0),
        ("<answer>partner C.</answer>", 0.0),
        ("<Answer>partner C</Answer>", 0.0),
        (answer("partner C"), 0.0),
    ],
)
def test_shuffled_objects(output: str, expected: float) -> None:
    """The last block in angle brackets decides, case ignored and every other character kept."""
    assert verdict("Bbehshuffobject", output, {"correct_answer": "partner C"}).score == expected


@pytest.mark.parametrize(
    ("data_source", "ground_truth"),
    [
        ("BbehDyckLanguages", {"error_step": None}),
        ("BbehTemporalSequences", {"solution": {"max_duration": 0, "count": 0}}),
        ("Bbehbooleanexpressions", {"answer": 0}),
        ("Bbehobjectproperties", {"correct_answer": 0}),
    ],
)
def test_falsy_ground_truths(data_source: str, ground_truth: Any) -> None:
    """Zeros and "No" are answers like others."""
    assert verdict(data_source, load(data_source).solve(ground_truth) or "", ground_truth).score == 1.0
