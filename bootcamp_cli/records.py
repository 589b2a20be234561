"""Frozen data types that cross layers: samples, answers, verdicts, failures."""

from dataclasses import dataclass, field
from typing import Any, Literal

ApiMode = Literal["completion", "chat_completion"]

VerifierFailure = Literal["verifier_timeout", "verifier_crash", "verifier_error", "unscored"]
"""Why an answer has no score: time limit, dead worker or MemoryError, third-party exception, no bootcamp for it."""

REVERIFIABLE: frozenset[str] = frozenset({"verifier_timeout", "verifier_crash", "verifier_error"})
"""Failures that `resume` verifies again from the kept output; `unscored` waits for `rescore`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a test file.

    `file` is the name of the test file (`sudoku.jsonl`), `row` its 0-based line number: together the key.
    `id` is what the record carries: the row's own `id` where the whole file has usable ones, else `row`.
    `ground_truth` is the row's JSON value as it was read.
    """

    file: str
    row: int
    id: str | int | float | bool
    data_source: str
    prompt: str
    ground_truth: Any


MAX_LEN = 2**53
"""Lengths of outputs beyond it are no counts; sums and quotients of the others are safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server replied to one prompt.

    `text` is the answer text alone (may be empty), `reasoning` the separate reasoning of a reasoning parser,
    `usage` the server's token counts as sent, `model` the model name of the reply.
    """

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None

    @property
    def completion_tokens(self) -> int | None:
        """The server's count of generated tokens, or None where it sent none that can be true."""
        value = (self.usage or {}).get("completion_tokens")
        return value if type(value) is int and 0 <= value <= MAX_LEN else None


def judged_text(output: str, reasoning: str | None) -> str:
    """The text that is verified: reasoning, newline and answer text, or the answer text alone without reasoning."""
    return f"{reasoning}\n{output}" if reasoning else output


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verification of one answer.

    `score` is None exactly where `failure` is set. `extracted` is a JSON value; `error` explains a failure.
    """

    score: float | None
    extracted: Any = None
    failure: VerifierFailure | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BootcampRef:
    """Where the verifier of a data source comes from; nothing is imported to make one.

    `origin` builtin: `target` is a module; entry_point: `module:attribute`; upstream: `module:class` within the
    `internbootcamp` package, or the class name alone where only the full import can find it.
    `path` is a directory that goes in front of the module search path (`bootcamps_path`), or None. `fallback` is asked
    where a built-in bootcamp cannot judge a row.
    """

    data_source: str
    origin: Literal["builtin", "entry_point", "upstream"]
    target: str
    path: str | None = None
    fallback: "BootcampRef | None" = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The reference's name of the bootcamp: `Sudoku` -> `Sudokubootcamp`."""
        return bootcamp_name(self.data_source)


def bootcamp_name(data_source: str) -> str:
    """The name under which the reference reports a data source: `Sudoku` -> `Sudokubootcamp`."""
    return f"{data_source}bootcamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailure:
    """Why a sample has no answer: `kind` is `timeout`, `connection`, `rate_limited`, `bad_response`, `http_400`, ..."""

    kind: str
    message: str
    status: int | None = None
