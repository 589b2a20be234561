"""One output and its ground truth -> a verdict; what counts as a wrong answer, and what as a failing verifier."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootcamp_cli.types import Verdict, decode, encode_exactly

MAX_EXTRACTED_CHARS = 1024 * 1024
MAX_ERROR_CHARS = 500
_is_finite, _is_nan = math.isfinite, math.isnan  # as they are before a verifier may have changed them

MAX_DEPTH = 500
"""How deep an extracted value may be nested: whoever reads it from a record can do so by recursion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerifier:
    """A bootcamp of our own protocol: built in, or an entry point that provides `check`.

    `unscorable` is for a bootcamp that cannot verify every row: it returns the reason why it cannot verify this one, or
    None. `family` is the family that a third-party bootcamp says it belongs to.
    """

    extract_output: Callable[[str], object]
    check: Callable[[Any, Any], object]
    unscorable: Callable[[Any], str | None] | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreVerifier:
    """A bootcamp of the reference's protocol: it takes the whole output and returns the score itself.

    `time_limit_s` is the limit that its own code allows itself, if it has one, `family` the family that it says it
    belongs to.
    """

    extract_output: Callable[[str], object]
    verify_score: Callable[[str, Any], object]
    time_limit_s: float | None = None
    family: str | None = None


Verifier = CheckVerifier | ScoreVerifier

MAX_FAMILY_CHARS = 100
"""The longest name that a third-party bootcamp may give its family."""


def own_family(bootcamp: Any) -> str | None:
    """The attribute `family` of a module, class or instance, where that is a name."""
    family = getattr(bootcamp, "family", None)
    return family if isinstance(family, str) and 0 < len(family) <= MAX_FAMILY_CHARS else None


def score(verifier: Verifier, output: str, ground_truth: Any) -> Verdict:
    """Verify one output; `ground_truth` must be a separate copy, because some bootcamps modify theirs.

    A wrong answer scores 0.0; as in the reference, so does an ordinary exception from `check`. MemoryError is a
    `verifier_crash`. An exception from `verify_score`, or a result that is not a finite number, is a `verifier_error`.
    A row that the bootcamp calls unscorable is `unscored` whatever the output, so that it is not only counted among the
    wrong ones. SystemExit and the like pass through.
    """
    try:
        if isinstance(verifier, CheckVerifier):
            return _by_check(verifier, output, ground_truth)
        return _by_score(verifier, output, ground_truth)
    except MemoryError:
        return Verdict(score=None, failure="verifier_crash", error="the verifier ran out of memory")


def _by_check(verifier: CheckVerifier, output: str, ground_truth: Any) -> Verdict:
    solution = None
    try:
        reason = verifier.unscorable(ground_truth) if verifier.unscorable is not None else None
        if reason is not None:
            return Verdict(score=None, failure="unscored", error=reason)
        solution = verifier.extract_output(output)
        result = verifier.check(solution, ground_truth) if solution is not None else 0.0
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the boundary: a wrong answer may break the verifier in any way
        result = 0.0
    return _verdict(result, solution)


def _by_score(verifier: ScoreVerifier, output: str, ground_truth: Any) -> Verdict:
    try:
        result = verifier.verify_score(output, ground_truth)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: third-party code raises what it likes
        return Verdict(
            score=None,
            extracted=_extracted(verifier, output),
            failure="verifier_error",
            error=f"verify_score raised {described(error)}",
        )
    return _verdict(result, _extracted(verifier, output))


def _extracted(verifier: ScoreVerifier, output: str) -> Any:
    try:
        return as_json(verifier.extract_output(output))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - what was extracted is a note beside the score
        return None


def _verdict(result: object, solution: object) -> Verdict:
    value = finite_number(result)
    if value is None:
        error = f"the result is {_shown(result, MAX_ERROR_CHARS)}, which is not a finite number"
        return Verdict(score=None, extracted=as_json(solution), failure="verifier_error", error=error)
    return Verdict(score=value, extracted=as_json(solution))


def finite_number(result: object) -> float | None:
    """A verifier's result as a float, or None where it is not a finite number; numpy scalars and bools are numbers."""
    if not (hasattr(type(result), "__float__") or hasattr(type(result), "__index__")):
        return None
    try:
        value = float(result)  # type: ignore[arg-type]  # checked above: it has one of the two methods
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the conversion is the verifier's own code
        return None
    return value if _is_finite(value) else None


def object_of(ground_truth: Any) -> Any:
    """The object that a ground truth holds as a JSON text; else the ground truth itself."""
    if not isinstance(ground_truth, str):
        return ground_truth
    try:
        value = decode(ground_truth.encode())
    except (ValueError, RecursionError):
        return ground_truth
    return value if isinstance(value, dict) else ground_truth


def as_json(value: object) -> Any:
    """The value after a round trip through Python's json, or its str() where that cannot hold it.

    Tuples become lists, keys that are numbers, booleans or None become strings; NaN and infinities stay. JSON cannot
    hold sets, complex numbers, Ellipsis or other keys; nesting deeper than 500 levels becomes text, too. Values of over
    1 MiB are shortened, as text. The json module itself is not called, which a verifier may have changed.
    """
    try:
        plain = _plain(value, MAX_DEPTH, set())
        size = len(plain) if isinstance(plain, str) else len(encode_exactly(plain))
    except (TypeError, ValueError, RecursionError):
        plain = _shown(value, MAX_EXTRACTED_CHARS)
        size = len(plain)
    return plain if size <= MAX_EXTRACTED_CHARS else _shown(value, MAX_EXTRACTED_CHARS)


def _plain(value: object, depth: int, around: set[int]) -> Any:
    """The value in JSON's own types; `around` has the containers that it is in.

    A comprehension would cost a second frame per level, and half the depth.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if not isinstance(value, (list, tuple, dict)):
        raise TypeError("not a JSON value")
    if depth == 0 or id(value) in around:
        raise ValueError("nested too deeply")
    around.add(id(value))
    plain: Any
    if isinstance(value, dict):
        plain = {}
        for key, item in value.items():
            plain[_key(key)] = _plain(item, depth - 1, around)
    else:
        plain = []
        for item in value:
            plain.append(_plain(item, depth - 1, around))
    around.remove(id(value))
    return plain


def _key(key: object) -> str:
    """The key of a dict as Python's json writes it."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or key is True or key is False:
        return "null" if key is None else "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        if _is_finite(key):
            return float.__repr__(key)
        return "NaN" if _is_nan(key) else "Infinity" if key > 0 else "-Infinity"
    raise TypeError("not the key of a JSON object")


def _shown(value: object, limit: int) -> str:
    """`str(value)`, cut to `limit` characters with a note; a value that cannot be shown is named by its type."""
    try:
        text = str.__str__(str(value))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the value's own code
        return f"<{type(value).__name__} that cannot be shown>"
    if len(text) <= limit:
        return text
    note = f"... ({len(text)} characters)"
    return text[: limit - len(note)] + note


def described(error: BaseException) -> str:
    """An exception in one line of bounded length: `ValueError: what it says`."""
    text = " ".join(_shown(error, MAX_ERROR_CHARS).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
