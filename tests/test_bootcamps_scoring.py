"""What a verifier's behaviour means for the score."""

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.registry import as_verifier
from bootcamp_cli.bootcamps.scoring import MAX_DEPTH, MAX_EXTRACTED_CHARS, as_json, described, score
from bootcamp_cli.bootcamps.upstream import reference_verifier
from bootcamp_cli.types import Verdict

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PYTHON_VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.binary()
    | st.text()
    | st.just(...)
    | st.builds(object)
    | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=8,
)


class FloatLike:
    """Stands for a numpy scalar."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"FloatLike({self.value})"


def returning(value: object) -> Callable[..., object]:
    """A function that returns `value` whatever it gets."""
    return lambda *_: value


def raising(error: BaseException) -> Callable[..., object]:
    """A function that raises `error`."""

    def function(*_: object) -> object:
        raise error

    return function


def by_check(extract_output: Callable[..., object], check: Callable[..., object]) -> Verdict:
    """The verdict of a bootcamp of our own protocol."""
    return score(as_verifier(SimpleNamespace(extract_output=extract_output, check=check), "test"), "output", [1])


def by_score(verify_score: Callable[..., object], extract_output: Callable[..., object] = lambda _: "x") -> Verdict:
    """The verdict of a bootcamp of the reference's protocol."""
    bootcamp = SimpleNamespace(extract_output=extract_output, verify_score=verify_score)
    return score(as_verifier(bootcamp, "test"), "output", [1])


@pytest.mark.parametrize(("result", "expected"), [(True, 1.0), (False, 0.0), (1, 1.0), (0.25, 0.25), (-1, -1.0)])
def test_check_results(result: object, expected: float) -> None:
    """A result of check becomes a float: True 1.0, False 0.0, a number itself."""
    verdict = by_check(returning([1, 2]), returning(result))
    assert verdict == Verdict(score=expected, extracted=[1, 2])
    assert type(verdict.score) is float


def test_no_extraction_scores_zero_without_check() -> None:
    """Where nothing is extracted the score is 0.0 and check is not asked."""
    assert by_check(returning(None), raising(MemoryError())) == Verdict(score=0.0)


def test_falsy_extractions_are_checked() -> None:
    """An empty answer is an answer: only None means that there is none."""
    empties: tuple[object, ...] = ("", [], 0, {})
    for empty in empties:
        assert by_check(returning(empty), returning(1)) == Verdict(score=1.0, extracted=empty)


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), KeyError(), AssertionError(), StopIteration()])
def test_ordinary_exceptions_score_zero(error: Exception) -> None:
    """An exception out of extract_output or check is a wrong answer, and what was extracted is kept."""
    assert by_check(raising(error), returning(1)) == Verdict(score=0.0)
    assert by_check(returning([1]), raising(error)) == Verdict(score=0.0, extracted=[1])


def test_endless_recursion_scores_zero() -> None:
    """A check that recurses without end is a wrong answer."""

    def endless(solution: object, ground_truth: object) -> bool:
        return endless(solution, ground_truth)

    assert by_check(returning(1), endless) == Verdict(score=0.0, extracted=1)


def test_memory_error_is_a_crash() -> None:
    """MemoryError anywhere is a verifier_crash, not a wrong answer."""
    verdicts = [
        by_check(raising(MemoryError()), returning(1)),
        by_check(returning(1), raising(MemoryError())),
        by_score(raising(MemoryError())),
        by_score(returning(1.0), raising(MemoryError())),
    ]
    assert [(verdict.score, verdict.failure) for verdict in verdicts] == [(None, "verifier_crash")] * 4


@pytest.mark.parametrize(
    "result", [None, "1.0", math.nan, math.inf, -math.inf, [1.0], 1j, b"1", 10**400, FloatLike(math.nan)], ids=repr
)
def test_results_that_are_no_finite_number(result: object) -> None:
    """A result that is no finite number is a verifier_error in both protocols, with what was extracted kept."""
    for verdict in (by_check(returning("x"), returning(result)), by_score(returning(result))):
        assert (verdict.score, verdict.failure, verdict.extracted) == (None, "verifier_error", "x")
        assert verdict.error is not None
        assert "not a finite number" in verdict.error


@pytest.mark.parametrize("result", [True, 1, 1.0, FloatLike(1.0)])
def test_third_party_numbers(result: object) -> None:
    """Bools and objects that convert to float, such as numpy scalars, are numbers."""
    assert by_score(returning(result)) == Verdict(score=1.0, extracted="x")


def test_numpy_scalars() -> None:
    """Real numpy scalars are scores, and numpy floats that were extracted are JSON numbers."""
    numpy = pytest.importorskip("numpy")
    for result in (numpy.float32(1), numpy.int64(1), numpy.bool_(True)):  # noqa: FBT003 - the scalar under test
        assert by_score(returning(result)) == Verdict(score=1.0, extracted="x")
    assert by_score(returning(1), returning([numpy.float64(0.5)])) == Verdict(score=1.0, extracted=[0.5])


def test_exception_out_of_verify_score() -> None:
    """An exception out of verify_score is a verifier_error that says what was raised."""
    verdict = by_score(raising(ValueError("two\nlines")))
    assert verdict == Verdict(
        score=None, extracted="x", failure="verifier_error", error="verify_score raised ValueError: two lines"
    )


def test_third_party_extraction_failure_keeps_the_score() -> None:
    """The score is verify_score's; where extract_output fails nothing is extracted."""
    assert by_score(returning(1.0), raising(ValueError())) == Verdict(score=1.0, extracted=None)


def test_exit_passes_through() -> None:
    """SystemExit is no wrong answer: the worker decides about it."""
    with pytest.raises(SystemExit):
        by_check(raising(SystemExit(1)), returning(1))


def test_penalties_are_switched_off_where_the_signature_takes_them() -> None:
    """short_penalty and format_penalty are passed as False exactly where the signature has them, or takes any."""
    seen: list[dict[str, Any]] = []

    def with_both(output: str, truth: object, *, short_penalty: bool = True, format_penalty: bool = True) -> float:
        seen.append({"short_penalty": short_penalty, "format_penalty": format_penalty})
        return 1.0

    def with_one(output: str, truth: object, format_penalty: bool = True) -> float:  # noqa: FBT001, FBT002 - their style
        seen.append({"format_penalty": format_penalty})
        return 1.0

    def with_any(output: str, truth: object, **options: object) -> float:
        seen.append(options)
        return 1.0

    def with_none(output: str, truth: object) -> float:
        seen.append({})
        return 1.0

    for function in (with_both, with_one, with_any, with_none):
        bootcamp = SimpleNamespace(extract_output=returning(None), verify_score=function)
        assert score(reference_verifier(bootcamp), "output", None).score == 1.0
    both = {"short_penalty": False, "format_penalty": False}
    assert seen == [both, {"format_penalty": False}, both, {}]


def test_objects_without_the_functions_are_refused() -> None:
    """An entry point that is no bootcamp is a TypeError that names it."""
    with pytest.raises(TypeError, match="some:thing"):
        as_verifier(SimpleNamespace(extract_output=returning(None)), "some:thing")


@given(JSON_VALUES)
def test_json_values_stay(value: Any) -> None:
    """What JSON can hold is extracted as it is."""
    assert as_json(value) == json.loads(json.dumps(value))


@given(PYTHON_VALUES)
def test_everything_becomes_json(value: object) -> None:
    """Whatever a bootcamp extracts, the record's value is what Python's json reads and writes."""
    plain = as_json(value)
    assert repr(json.loads(json.dumps(plain))) == repr(plain)


KEYS = st.text() | st.integers() | st.floats() | st.booleans() | st.none()
WRITABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(WRITABLE)
def test_values_are_those_of_pythons_json(value: object) -> None:
    """What Python's json writes, the reference's records have: keys become strings, NaN and infinities stay."""
    assert repr(as_json(value)) == repr(json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (((1, 2), (3, 4)), [[1, 2], [3, 4]]),
        (((..., ...), (..., ...)), "((Ellipsis, Ellipsis), (Ellipsis, Ellipsis))"),
        (-math.inf, -math.inf),
        ([1.0, math.inf], [1.0, math.inf]),
        ({(0, 2): 1}, "{(0, 2): 1}"),
        ({1: "a", 2.5: {True: None}, None: ()}, {"1": "a", "2.5": {"true": None}, "null": []}),
        ({math.nan: 1, -math.inf: 2}, {"NaN": 1, "-Infinity": 2}),
        ({1: "a", "1": "b"}, {"1": "b"}),
        ({"a": {1}}, "{'a': {1}}"),
        (1 + 2j, "(1+2j)"),
        pytest.param(10**5000, "<int that cannot be shown>", id="huge"),
    ],
)
def test_forms_of_extracted_values(value: object, expected: Any) -> None:
    """Tuples become lists; a value of which JSON cannot hold any part becomes the str() of the whole."""
    assert as_json(value) == expected


def test_deep_and_circular_values_become_text() -> None:
    """Lists may be 500 deep; nesting without end cannot break the record."""
    circular: list[object] = []
    circular += [circular, circular]
    assert as_json(circular) == "[[...], [...]]"
    again: list[object] = []
    assert as_json([again, again]) == [[], []]
    deep: list[object] = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert as_json(deep) == deep
    assert isinstance(as_json([deep]), str)


@pytest.mark.parametrize("value", ["x" * (2 * MAX_EXTRACTED_CHARS), ["x" * 1000] * 2000])
def test_large_extractions_are_shortened(value: object) -> None:
    """What is over 1 MiB is cut, with its length noted."""
    plain = as_json(value)
    assert len(plain) == MAX_EXTRACTED_CHARS
    assert plain.endswith(f"... ({len(str(value))} characters)")


def test_errors_are_described_in_one_bounded_line() -> None:
    """A long text of several lines, or an error that cannot be shown, stays one short line."""

    class Nasty(Exception):  # noqa: N818 - third-party names
        def __str__(self) -> str:
            raise ValueError

    assert described(ValueError()) == "ValueError"
    assert described(Nasty()) == "Nasty: <Nasty that cannot be shown>"
    assert len(described(ValueError("a\n" * 10000))) < 600
