"""The messages between pool and worker: one JSON array per line.

    to the worker     [[id, data_source, origin, target, path, output, ground_truth], ...]: a batch, in order; with
                      output null the bootcamp is only to be loaded
    from the worker   ["ready"]: started, limits set
                      ["loaded", id, time_limit_s, failure, error, family]: the bootcamp of that sample is imported,
                      with the time limit and the family of its own, or cannot be; once per bootcamp, and for each that
                      is only to be loaded
                      ["verdict", id, score, extracted, failure, error, retire]; retire: the worker ends after this

NaN and infinities stand bare in ground truths and extracted values, as Python's json writes them.

The pool trusts nothing that comes back: it takes only JSON, checked against this form, of bounded size and depth. A
worker reads and writes without the functions of the json module, in whose place a verifier may have put its own: that
would reach the messages about other samples.
"""

import json
import math
from collections.abc import Iterable
from json.scanner import make_scanner
from typing import Any, get_args

import msgspec

from bootcamp_cli.bootcamps.scoring import MAX_DEPTH, MAX_FAMILY_CHARS
from bootcamp_cli.bootcamps.time_limits import MOST_S
from bootcamp_cli.types import BootcampRef, Verdict, VerifierFailure, encode, encode_exactly

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""More than any verdict needs: 2**20 extracted characters of at most 12 bytes each."""

_FAILURES: dict[str, VerifierFailure] = {kind: kind for kind in get_args(VerifierFailure) if kind != "verifier_timeout"}
"""The failures that a worker may report; that it was too slow, it does not notice itself."""

_NODE_FAILURES: dict[str, VerifierFailure] = {kind: kind for kind in get_args(VerifierFailure)}


class WireError(Exception):
    """A line that is not a message of this protocol."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One sample as a worker receives it; `id` is unique within the life of the pool.

    Without an `output` the bootcamp is only to be loaded.
    """

    id: int
    ref: BootcampRef
    output: str | None
    ground_truth: Any


class Ready(msgspec.Struct, frozen=True):
    """The worker has started."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The bootcamp of sample `id` is imported, or cannot be: then `failure` is the verdict on all of its samples.

    `time_limit_s` is the limit that the bootcamp's own code allows itself, `family` what it says it belongs to.
    """

    id: int
    time_limit_s: float | None = None
    failure: Verdict | None = None
    family: str | None = None


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of sample `id`; with `retire` the worker ends and takes no more samples."""

    id: int
    verdict: Verdict
    retire: bool


Reply = Ready | Loaded | Verified


def encode_truth(ground_truth: Any) -> bytes:
    """A ground truth as JSON.

    Raises:
        WireError: JSON cannot hold it.
    """
    try:
        truth = encode(ground_truth)
        return encode_exactly(ground_truth) if b"null" in truth else truth  # null: also msgspec's NaN
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"the ground truth cannot be sent to a worker: {error}") from error


def encode_sample(id_: int, ref: BootcampRef, output: str | None, truth: bytes) -> bytes:
    """One sample as JSON; `truth` is already encoded."""
    head = encode([id_, ref.data_source, ref.origin, ref.target, ref.path])
    return b"%b,%b,%b]" % (head[:-1], encode(output), truth)


def join_batch(encoded: Iterable[bytes]) -> bytes:
    """Encoded samples as one line for the worker."""
    return b"[" + b",".join(encoded) + b"]\n"


def decode_batch(line: bytes) -> list[Task]:
    """The samples of a line; every ground truth is a fresh copy."""
    return [
        Task(
            id=id_,
            ref=BootcampRef(data_source=data_source, origin=origin, target=target, path=path),
            output=output,
            ground_truth=ground_truth,
        )
        for id_, data_source, origin, target, path, output, ground_truth in _task_rows(line)
    ]


def _task_rows(line: bytes) -> Any:
    """The rows of a batch; NaN and lone surrogates, which msgspec refuses, are read by the C scanner itself."""
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        return _scan(line.decode(), 0)[0]


def encode_reply(reply: Reply) -> bytes:
    """One line for the pool."""
    match reply:
        case Ready():
            return b'["ready"]\n'
        case Loaded(id=id_, time_limit_s=limit_s, failure=failure, family=family):
            kind, error = (failure.failure, failure.error) if failure else (None, None)
            why = encode(kind) + b"," + encode_exactly(error)
            return b'["loaded",%d,%b,%b,%b]\n' % (id_, encode(limit_s), why, encode_exactly(family))
        case Verified(id=id_, verdict=verdict, retire=retire):
            score, extracted, retires = encode(verdict.score), encode_exactly(verdict.extracted), _BOOLEANS[retire]
            if verdict.failure is None:
                return b'["verdict",%d,%b,%b,null,null,%b]\n' % (id_, score, extracted, retires)
            why = encode(verdict.failure) + b"," + encode_exactly(verdict.error)
            return b'["verdict",%d,%b,%b,%b,%b]\n' % (id_, score, extracted, why, retires)


def decode_reply(line: bytes, *, from_node: bool = False) -> Reply:
    """Read a worker's line, or one of a node, whose pool may report timeouts as well.

    Raises:
        WireError: it is not JSON, none of the three forms, or nested deeper than any extracted value.
    """
    try:
        row = _decoded(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a message: {error}") from error
    if len(line) > 2 * MAX_DEPTH and line.count(b"[") + line.count(b"{") > MAX_DEPTH and _is_too_deep(row):
        raise WireError("not a message: nested too deeply")
    if (verified := _scored(row)) is not None:
        return verified
    failures = _NODE_FAILURES if from_node else _FAILURES
    match row:
        case ["ready"]:
            return Ready()
        case ["loaded", int(id_), None | float() as limit_s, None, None, None | str() as family] if (
            limit_s is None or 0 < limit_s <= MOST_S
        ) and (family is None or 0 < len(family) <= MAX_FAMILY_CHARS):
            return Loaded(id=id_, time_limit_s=limit_s, family=family)
        case ["loaded", int(id_), None, str(failure), str(text), None] if failure in failures:
            return Loaded(id=id_, failure=Verdict(score=None, failure=failures[failure], error=text))
        case ["verdict", int(id_), None, extracted, str(failure), str(text), bool(retire)] if failure in failures:
            verdict = Verdict(score=None, extracted=extracted, failure=failures[failure], error=text)
            return Verified(id=id_, verdict=verdict, retire=retire)
        case _:
            raise WireError("not a message of a worker")


def _scored(row: Any) -> Verified | None:
    """The message of a verdict with a score, by far the most common; None for every other row."""
    if type(row) is not list or len(row) != 7 or row[0] != "verdict":
        return None
    _, id_, score, extracted, failure, error, retire = row
    if type(id_) is not int or type(score) is not float or not math.isfinite(score):
        return None
    if failure is error is None and type(retire) is bool:
        return Verified(id=id_, verdict=Verdict(score=score, extracted=extracted), retire=retire)
    return None


def _decoded(line: bytes) -> Any:
    """The value of a line; what msgspec refuses is parsed again because it may hold NaN or lone surrogates."""
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        return _STRICT_DECODER.decode(line.decode())


def _is_too_deep(row: Any) -> bool:
    level = [row]
    for _ in range(MAX_DEPTH + 1):  # the row itself is a level
        inner = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        level = [child for child in inner if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


_decode = msgspec.json.Decoder().decode
_BOOLEANS = (b"false", b"true")
_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # its stub takes its own kind, not a decoder
_STRICT_DECODER = json.JSONDecoder(parse_float=_finite)
