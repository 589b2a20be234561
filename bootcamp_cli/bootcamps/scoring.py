"""One output and its ground truth -> a verdict; what counts as a wrong answer, and what as a failing verifier."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootcamp_cli.types import Verdict, decode

MAX_EXTRACTED_CHARS = 1024 * 1024
MAX_ERROR_CHARS = 500
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerifier:
    """A bootcamp of our own protocol: built in, or an entry point that provides `check`.

    `unscorable` is for a bootcamp that cannot verify every row: it returns the reason why it cannot verify this one, or
    None.
    """

    extract_output: Callable[[str], object]
    check: Callable[[Any, Any], object]
    unscorable: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreVerifier:
    """A bootcamp of the reference's protocol: it takes the whole output and returns the score itself.

    `time_limit_s` is the limit that its own code allows itself, if it has one.
    """

    extract_output: Callable[[str], object]
    verify_score: Callable[[str, Any], object]
    time_limit_s: float | None = None


Verifier = CheckVerifier | ScoreVerifier


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
    return value if math.isfinite(value) else None


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
    """The value after a round trip through JSON (tuples become lists), or its str() where JSON cannot hold it.

    JSON cannot hold sets, complex and non-finite numbers, Ellipsis, keys that are not strings, or nesting deeper than
    100 levels. Values of over 1 MiB are shortened, as text.
    """
    try:
        plain = _plain(value, _MAX_DEPTH)
        size = len(plain) if isinstance(plain, str) else len(json.dumps(plain))
    except (TypeError, ValueError, RecursionError):
        plain = _shown(value, MAX_EXTRACTED_CHARS)
        size = len(plain)
    return plain if size <= MAX_EXTRACTED_CHARS else _shown(value, MAX_EXTRACTED_CHARS)


def _plain(value: object, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deeply")
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case list() | tuple():
            return [_plain(item, depth - 1) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {str.__str__(key): _plain(item, depth - 1) for key, item in value.items()}
        case _:
            raise TypeError("not a JSON value")


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
