"""The shared extraction: linear scanners against the plain expressions, values against Python's own readers."""

import re
import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.builtin.text.edit_distance import edit_distance
from bootcamp_cli.bootcamps.extraction import blocks, values
from bootcamp_cli.bootcamps.extraction.arithmetic import MAX_BITS, evaluate

PIECES = [
    "[answer]",
    "[/answer]",
    "[",
    "]",
    "[[",
    "]]",
    "```",
    "```json",
    "`",
    "{",
    "}",
    "{}",
    "\n",
    " ",
    "\u3000",
    "x",
    "1",
]
PIECES += ["\\boxed", "\\boxed{", "\\fbox{", "$", "[[A]]", "[[b]]", "[[7]]"]
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def last_found(pattern: str, text: str, flags: int = 0) -> str | None:
    """The last group of the plain expression."""
    found: list[str] = re.findall(pattern, text, flags)
    return found[-1] if found else None


@pytest.mark.parametrize(
    ("scan", "pattern", "flags"),
    [
        (blocks.last_answer, r"\[answer\](.*?)\[/answer\]", re.DOTALL),
        (blocks.last_brackets, r"\[\[(.*?)\]\]", 0),
        (lambda text: blocks.last_brackets(text, across_lines=True), r"\[\[(.*?)\]\]", re.DOTALL),
        (lambda text: blocks.last_fence(text, "json"), r"```json\s*([\s\S]*?)\s*```", 0),
        (
            lambda text: blocks.last_block(text, r"```json\s*(?=\{)", r"(?<=\})\s*```"),
            r"```json\s*(\{[\s\S]*?\})\s*```",
            0,
        ),
    ],
    ids=["answer", "brackets", "brackets-across-lines", "fence", "fence-of-object"],
)
@settings(deadline=None)
@given(text=texts)
def test_linear_scanners(scan: Callable[[str], str | None], pattern: str, flags: int, text: str) -> None:
    """A linear scanner finds what the quadratic expression that defines it finds."""
    assert scan(text) == last_found(pattern, text, flags)


@settings(deadline=None)
@given(text=texts)
def test_all_answer_blocks(text: str) -> None:
    """The answer blocks come in order, all of them."""
    assert list(blocks.answer_blocks(text)) == re.findall(r"\[answer\](.*?)\[/answer\]", text, re.DOTALL)


@settings(deadline=None)
@given(text=texts)
def test_blocks_without_case(text: str) -> None:
    """Flags apply to opener and closer."""
    folded = re.findall(r"\[ANSWER\](.*?)\[/ANSWER\]", text, re.DOTALL | re.IGNORECASE)
    assert list(blocks.blocks(text, r"\[ANSWER\]", r"\[/ANSWER\]", flags=re.IGNORECASE)) == folded


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{a{b}c} }", "a{b}c"),
        (r"\boxed{}", ""),
        (r"\boxed{1} and \boxed{2", None),
        ("nothing", None),
        (r"use \boxed x$ \boxed{2}", "x"),
        (r"\boxed 7", "7"),
    ],
)
def test_last_boxed(text: str, content: str | None) -> None:
    r"""The last balanced \boxed counts, and a `\boxed ` anywhere before any brace."""
    assert blocks.last_boxed(text) == content


@pytest.mark.parametrize("text", [r"\fbox{3}", "\\boxed\n{3}", r"\boxed3{x}", r"\boxed\{3\}"])
def test_boxed_of_another_form(text: str) -> None:
    r"""What is balanced but not `\boxed{...}` fails the extraction instead of giving no answer."""
    with pytest.raises(ValueError, match="expected"):
        blocks.last_boxed(text)


def test_last_letter() -> None:
    """The last letter of the class counts, in upper case; anything else in the brackets is no letter."""
    assert blocks.last_letter("[[a]] [[G]] [[C.]] [[ B ]]", "A-Fa-f") == "A"
    assert blocks.last_letter("A", "A-F") is None


def test_int_rows() -> None:
    """Rows are read as int() reads, blank ones on request, and one bad token spoils all."""
    assert values.int_rows("\n+1\t02\r\n\n0_3 \uff14\n") == [[1, 2], [3, 4]]
    assert values.int_rows("1\n\n2", keep_blank=True) == [[1], [], [2]]
    assert values.int_rows("1 2, 3 4", separator=",") == [[1, 2], [3, 4]]
    assert values.int_rows("1 2\n3 x") is None
    assert values.int_tokens("1 2.0") is None


@pytest.mark.parametrize(
    "text", ["(", "x", "1+", "{[]: 1}", "[" * 5000, "-" * 5000 + "1", "9" * 5000, "\0", "\ud800", "1," * 150_000]
)
def test_no_literal(text: str) -> None:
    """Whatever keeps a text from being a literal, nesting and size included, is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        values.python_literal(text)


@settings(deadline=None)
@given(
    value=st.recursive(
        st.integers() | st.text() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    )
)
def test_literals_round_trip(value: object) -> None:
    """A value comes back from its repr."""
    assert values.python_literal(repr(value)) == value


def test_lenient_json() -> None:
    """Python notation is converted to JSON; what still is not JSON comes back as the converted text."""
    assert values.lenient_json("{'A': [(1, 2)]}") == {"A": [[1, 2]]}
    assert values.lenient_json("{'A': (1,)}") == '{"A": [1,]}'
    assert values.lenient_json("[" * 100_000) == "[" * 100_000


OPERATORS = ["+", "-", "*", "/", "//", "%", "&", "|", "^", "<", ">=", "==", "!=", " and ", " or "]
numbers = st.sampled_from(["0", "1", "2", "3", "7", "0.5", "1e1", "0x4", "1_0", "True", "2j"])
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map("".join),
        st.tuples(st.sampled_from(["-", "+", "~", "not "]), inner).map("".join),
        st.tuples(inner, st.sampled_from(["**2", "**-1", "**0.5", "<<3", ">>1", "<<-1"])).map("".join),
        inner.map(lambda text: f"({text})"),
        st.tuples(inner, inner, inner).map(lambda three: "{} if {} else {}".format(*three)),
    ),
    max_leaves=6,
)


def outcome(evaluation: Callable[[str], object], text: str) -> tuple[str, str]:
    """Type and value of an expression, or that it has none; from 3.12 on Python warns of `~True`."""
    try:
        with warnings.catch_warnings(action="ignore"):
            value = evaluation(text)
    except (ArithmeticError, SyntaxError, TypeError, ValueError):
        return ("no value", "")
    return (type(value).__name__, repr(value))


@settings(deadline=None)
@given(text=expressions)
def test_evaluate_as_python(text: str) -> None:
    """Arithmetic has the value and the type that Python gives it, and none where Python raises."""
    assert outcome(evaluate, text) == outcome(eval, text)


@pytest.mark.parametrize(
    "text",
    ["9<<99999999", "9**9**9**9", f"1<<{MAX_BITS}", "0x" + "f" * 30_000, "(9**9999)**9", "~" * 5000 + "1"],
)
def test_evaluate_refuses_the_enormous(text: str) -> None:
    """Integers beyond the bound and absurd nesting are refused before they cost memory."""
    with pytest.raises(ValueError, match=r"."):
        evaluate(text)


@pytest.mark.parametrize(
    "text", ["target", "f(1)", "(1).real", "(1, 2)", "[1]", "{1}", "'a'", "...", "1 if x else 2", ""]
)
def test_evaluate_refuses_all_but_arithmetic(text: str) -> None:
    """Names, calls, attributes, containers and strings are no arithmetic."""
    with pytest.raises(ValueError, match="not arithmetic"):
        evaluate(text)


def textbook_distance(a: str, b: str) -> int:
    """The table of Wagner and Fischer, row by row."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


@settings(deadline=None)
@given(a=st.text(alphabet="abcd", max_size=90), b=st.text(alphabet="abcde", max_size=90))
def test_edit_distance(a: str, b: str) -> None:
    """The bit-parallel distance is the textbook's."""
    assert edit_distance(a, b) == textbook_distance(a, b)
