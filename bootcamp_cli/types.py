"""The frozen types that cross rooms: how a sample becomes a record, and what a run directory says about itself.

Everything written or read is a msgspec Struct with one codec; JSON bytes are encoded and decoded here.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

SampleId = str | int | float | bool
"""What a record carries as `id`: the row's own, or its number."""

IdRule = Literal["own", "row"]
"""Where a sample's id comes from: the row's own `id`, or its 0-based line number."""

VerifierFailure = Literal["pending", "verifier_timeout", "verifier_crash", "verifier_error", "unscored"]
"""Why an answer has no score.

The run was stopped before its verdict; the verifier's fault: time limit, dead worker or MemoryError, third-party
exception; no bootcamp.
"""

TO_BE_VERIFIED: frozenset[str] = frozenset({"pending", "verifier_timeout", "verifier_crash", "verifier_error"})
"""Failures of answers that `resume` verifies, without a request. `unscored` waits for `rescore`."""

MAX_LEN = 2**53
"""Output lengths beyond this cannot be real counts; sums and quotients of the others are safe."""

MAX_ROW = 1_000_000_000
"""No test file has as many rows."""

MAX_REPEATS = 10_000
"""No question is asked as often."""

LATENCY_UNIT_S = 0.0001
"""What latencies are counted in: records have them to four decimals."""

KNOWN_ENDS = frozenset({"stop", "length", "content_filter", "tool_calls", "function_call"})
"""The finish_reasons that OpenAI documents; whatever else ends an answer is counted, for what it means is not known."""

Count = Annotated[int, msgspec.Meta(ge=0)]
RowNumber = Annotated[int, msgspec.Meta(ge=0, lt=MAX_ROW)]
RepeatNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_LEN)]
OutputLength = Annotated[int, msgspec.Meta(ge=0, le=MAX_LEN)]


def _first_repeat() -> int:
    """The repeat of a line that an older version wrote; a factory, so that a 0 is written like any other number."""
    return 0


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count` parts of a run, counted from 1: `str()` is `3/8`.

    A question belongs to one of them by its file and row alone, whatever else the run takes. Neighbouring rows are
    dealt out in turn, and parts differ by a row in each file; where that starts depends on the file's name.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, file: str) -> range:
        """The rows of a test file, from 0, that belong to it, however long the file is."""
        start = int.from_bytes(hashlib.sha256(file.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return range((self.number - 1 - start) % self.count, MAX_ROW, self.count)


MAX_SHARDS = 100_000
"""More parts than any cluster has jobs in an array."""


def parse_shard(text: str) -> Shard:
    """The shard of a text like `3/8`.

    Raises:
        ValueError: it is not one.
    """
    if match := re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip()):
        number, count = map(int, match.groups())
        if 1 <= number <= count <= MAX_SHARDS:
            return Shard(number, count)
    raise ValueError(text)


class SampleKey(msgspec.Struct, frozen=True, order=True):
    """Which sample: `file` is the name of the test file (`sudoku.jsonl`), `row` its 0-based line number.

    `repeat` is the 0-based number of the answer to that question: always 0 where each question is asked once.
    """

    file: str
    row: int
    repeat: int = 0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to be obtained for one row of a test file.

    `id` is what the record carries: the row's own `id` where the whole file has usable ones, else `row`.
    `ground_truth` is the row's JSON value as it was read. A row that has a list of messages in place of a prompt has it
    in `messages`, as JSON; then `prompt` is the text of its last message of the user.
    """

    file: str
    row: int
    repeat: int = 0
    id: SampleId
    data_source: str
    prompt: str
    ground_truth: Any
    messages: bytes | None = None

    @property
    def key(self) -> SampleKey:
        """The sample's key."""
        return SampleKey(self.file, self.row, self.repeat)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server replied to one prompt.

    `text` is only the answer (may be empty), `reasoning` the separate reasoning of a reasoning parser,
    `usage` the server's token counts as sent, `model` the model name of the reply, `system_fingerprint` what the server
    calls its own configuration. `n_pieces` is the number of pieces of a stream that carried text: about one per token.
    `max_tokens` is the limit that was sent, where each request has one of its own.
    """

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    n_pieces: int | None = None
    max_tokens: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was generated: neither text nor reasoning, and no tokens that the server tells of."""
        return not (self.text or self.reasoning or self.completion_tokens)

    @property
    def prompt_tokens(self) -> int | None:
        """The server's count of the prompt's tokens, those from its cache included; None where it is not plausible."""
        usage = self.usage or {}
        n = _count(usage.get("prompt_tokens"))
        details = usage.get("prompt_tokens_details")
        if n is None or not isinstance(details, dict):
            return n
        return max(n, _count(details.get("cached_tokens")) or 0)

    @property
    def completion_tokens(self) -> int | None:
        """The server's count of generated tokens, thinking included, or None where it sent no plausible one."""
        usage = self.usage
        if not usage:
            return None
        keys = "prompt_tokens", "completion_tokens", "total_tokens"
        prompt, completion, total = map(usage.get, keys)
        if _add_up(prompt, completion, total):
            return completion
        reasoning = reasoning_tokens(usage.get("reasoning_tokens"), usage.get("completion_tokens_details"))
        return generated_tokens(prompt=prompt, completion=completion, total=total, reasoning=reasoning)


def generated_tokens(*, prompt: Any, completion: Any, total: Any, reasoning: Any) -> int | None:
    """The number of tokens that a usage says were generated; None where it has no plausible count.

    Reasoning is a part of `completion` (OpenAI, vLLM), unless the total is too large for that, or the reasoning itself
    (Gemini, xAI): then the reasoning is added, or where it is not told, all that is not the prompt counts.
    """
    if _add_up(prompt, completion, total):
        return int(completion)
    n_completion = _count(completion)
    if n_completion is None:
        return None
    n_prompt, n_total, n_reasoning = _count(prompt), _count(total), _count(reasoning) or 0
    if n_prompt is None or n_total is None:
        return min(n_completion + n_reasoning, MAX_LEN) if n_reasoning > n_completion else n_completion
    n_beside = n_total - n_prompt - n_completion
    return n_completion if n_beside <= 0 else min(n_completion + (n_reasoning or n_beside), MAX_LEN)


def _add_up(prompt: Any, completion: Any, total: Any) -> bool:
    """Whether nothing is left for reasoning beside the completion, as in nearly all usages."""
    return (
        type(completion) is type(prompt) is type(total) is int
        and prompt + completion == total <= MAX_LEN
        and prompt >= 0 <= completion
    )


def reasoning_tokens(own: Any, details: Any) -> Any:
    """The count of reasoning tokens in a usage: its own (SGLang), else that of `completion_tokens_details`."""
    if own is None and isinstance(details, dict):
        return details.get("reasoning_tokens")
    return own


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LEN:
        return value
    return None


class RequestFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sample has no answer: `kind` is `timeout`, `connection`, `rate_limited`, `bad_response`, `http_400`, ..."""

    kind: str
    message: str
    status: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verification of one answer.

    `score` is None exactly when `failure` is set. `extracted` is a JSON value; `error` explains a failure.
    """

    score: float | None
    extracted: Any = None
    failure: VerifierFailure | None = None
    error: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An answered sample: one line of `details/<test file>.jsonl`, in this order of fields.

    The first seven are the reference's, in the same order. `output_len` is a count of tokens, thinking included; of the
    pieces of a stream, or of words, where `output_len_estimated`. `score` is None where there is no verdict; `failure`
    then says why. `attempts` is the number of those that count, `retries` has the kind of each that was repeated,
    whether it counts or not. `latency_s` is 0 where nobody measured it, as of an answer that was imported.
    Fields with a default are written only where they differ from it.
    `max_tokens` is what was sent where the run's is auto. `endpoint` is the base URL of the server that answered,
    without credentials; None where no server was asked.
    """

    id: SampleId
    prompt: str
    output: str
    output_len: OutputLength
    ground_truth: Any
    score: float | None
    extracted_output: Any
    data_source: str
    row: RowNumber
    finish_reason: str | None
    reasoning_content: str | None
    usage: dict[str, Any] | None
    model: str | None
    attempts: int
    retries: tuple[str, ...] = ()
    latency_s: float
    output_len_estimated: bool = False
    failure: VerifierFailure | None = None
    failure_message: str | None = None
    repeat: RepeatNumber = msgspec.field(default_factory=_first_repeat)
    max_tokens: Count | None = None
    endpoint: str | None = None


class FailureRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sample that ended without an answer: one line of `failures.jsonl`. It is owed at the next resume.

    `data_source` is None only where a line that another program wrote lacks it.
    """

    file: str
    row: RowNumber
    id: SampleId
    data_source: str | None
    kind: str
    last_error: str
    attempts: int
    retries: tuple[str, ...] = ()
    repeat: RepeatNumber = msgspec.field(default_factory=_first_repeat)

    @property
    def key(self) -> SampleKey:
        """The sample's key."""
        return SampleKey(self.file, self.row, self.repeat)


Outcome = Record | FailureRecord
"""How a sample ends."""


class ToolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The program that wrote a run directory."""

    name: str
    version: str


class ManifestTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen template, word for word; `used` is false in chat mode, where the server applies its own."""

    name: str
    text: str
    stop: tuple[str, ...]
    system_prompt: str | None
    bos: str = ""
    used: bool = True


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """A test file as it was when the run started: SHA-256 and size of the whole file, and the rows that the run takes.

    `n_invalid` counts the rows that were left out as invalid; None where the manifest lacks it. `data_sources` maps
    each data source to its number of rows, in order of first appearance. Where rows were drawn, these are the rows that
    the run takes, drawn from `n_drawn_from` rows in the first `size_bytes`: what is appended later is not drawn. Of a
    shard `n_rows` and `data_sources` are those of all shards together, `in_shard` are the data sources of its own rows.
    """

    name: str
    digest: str
    size_bytes: Count
    n_rows: Count
    n_invalid: Count | None = None
    id_rule: IdRule
    data_sources: tuple[tuple[str, Count], ...]
    n_drawn_from: Count | None = None
    in_shard: tuple[tuple[str, Count], ...] | None = None

    @property
    def taken(self) -> tuple[tuple[str, int], ...]:
        """The data sources of the rows that the run takes itself, with their numbers."""
        return self.data_sources if self.in_shard is None else self.in_shard


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a server tells about itself beside the API; every part is None where it does not.

    `version` is its own word for it (`0.11.0`, `b6123-1d72c841`), `told_at` the path that told it (`/version`),
    `template_digest` the SHA-256 of the text of the chat template that it applies, in UTF-8.
    """

    version: str | None = None
    told_at: str | None = None
    template_digest: str | None = None


class TokenTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of the answers in details, by the server's own counts; a sum is None where no answer has that count.

    `n_counted` is the number of answers that have any of them: where there are more answers, the sums are too small.
    `reasoning` is a part of `completion`. What failed attempts cost is not known.
    """

    n_counted: Count = 0
    prompt: Count | None = None
    completion: Count | None = None
    reasoning: Count | None = None


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers in details took: latencies of `n` of them in seconds, and repeated attempts by kind.

    `tokens_per_second` is that of an answer, by the server's counts.
    """

    n: Count = 0
    latency_mean_s: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    tokens_per_second: float | None = None
    retries: dict[str, Count] = msgspec.field(default_factory=dict)


class RedoCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many samples of how many questions of a data source are asked for again."""

    n: Count
    n_questions: Count


class RedoOf(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of another run that a run asks for again, and no others.

    `run` is the name of the other's directory, `selection` what was chosen, as it was named; `samples` has (row,
    repeat) by test file, in order, `data_sources` their numbers by test file and data source.
    """

    run: str
    selection: tuple[str, ...] = ()
    samples: dict[str, tuple[tuple[RowNumber, RepeatNumber], ...]]
    data_sources: dict[str, dict[str, RedoCount]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was made of, and whether it was completed: `manifest.json`.

    `model` is the server's entry for the model, `bootcamps` the origin of the verifier by data source (None without
    one), `identity` everything that decides the answers and the scores, by name. Each question is asked `repeats`
    times. `rescoring` is true from the first file that `rescore` replaces to the last. `servers` is what the server
    told about itself, once for each change that a resume met, oldest first. `system_fingerprints` counts the replies
    with each fingerprint; 8 different ones at most, and replies to a process that was killed are missing. `families`
    are those that third-party bootcamps name, by data source. Times are ISO 8601 in UTC. Fields with a default are
    informative only, but for `repeats`, `rescoring` and `redo_of`.
    """

    schema: int = 1
    tool: ToolInfo | None = None
    python: str | None = None
    implementation: str | None = None
    platform: str | None = None
    started: str = ""
    ended: str | None = None
    complete: bool = False
    rescoring: bool = False
    redo_of: RedoOf | None = None
    repeats: Annotated[int, msgspec.Meta(ge=1, le=MAX_REPEATS)] = 1
    model: dict[str, Any] | None = None
    template: ManifestTemplate
    sys_prompt: str | None
    bootcamps: dict[str, str | None] | None = None
    servers: tuple[ServerInfo, ...] = ()
    system_fingerprints: dict[str, Count] = msgspec.field(default_factory=dict)
    tokens: TokenTotals | None = None
    effort: Effort | None = None
    families: dict[str, str] = msgspec.field(default_factory=dict)
    files: tuple[ManifestFile, ...]
    identity: dict[str, Any]

    @property
    def shard(self) -> Shard | None:
        """The part of a run that this one is; None for a whole one."""
        text = self.identity.get("shard")
        return None if text is None else parse_shard(text)


def verified_text(output: str, reasoning: str | None) -> str:
    """The text that is verified: reasoning, newline and answer text, or just the answer text without reasoning."""
    return f"{reasoning}\n{output}" if reasoning else output


class BootcampRef(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Where the verifier of a data source comes from; nothing is imported to make one.

    `target` depends on `origin`: a module for builtin, `module:attribute` for entry_point; for upstream `module:class`
    within the `internbootcamp` package, or just the class name where only the full import can find it. `path` is a
    directory to put in front of the module search path (`bootcamps_path`), or None. `fallback` is used where a built-in
    bootcamp cannot verify a row.
    """

    data_source: str
    origin: Literal["builtin", "entry_point", "upstream"]
    target: str
    path: str | None = None
    fallback: "BootcampRef | None" = None

    @property
    def name(self) -> str:
        """The reference's name of the bootcamp: `Sudoku` -> `Sudokubootcamp`."""
        return bootcamp_name(self.data_source)

    @property
    def takes_object(self) -> bool:
        """Whether ground truths are objects, so that a JSON text with one stands for it.

        So it is for the built-in bootcamps and for those of the package; an entry point gets what stands in the row.
        """
        return self.origin != "entry_point"


class VerifierVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What can decide the scores of a data source: where its verifier comes from, and SHA-256 digests of the code.

    `digest` is None where there is no file to tell it. `fallback` is the digest of the package's verifier where that
    decides rows which a built-in bootcamp cannot verify; None where there is none.
    """

    origin: Literal["builtin", "entry_point", "upstream"]
    digest: str | None = None
    fallback: str | None = None

    def differs_from(self, other: "VerifierVersion") -> bool:
        """Whether the two may score the same output differently; a digest that one of them lacks counts as equal.

        A row that only a fallback can verify has no score without it, so no score differs where one lacks it.
        """
        return self.origin != other.origin or any(
            mine is not None and theirs is not None and mine != theirs
            for mine, theirs in ((self.digest, other.digest), (self.fallback, other.fallback))
        )


DATA_SOURCE_PREFIX = "bootcamp/"
"""Stands before the data source where rows are written for training; it is no part of the name."""


def bootcamp_name(data_source: str) -> str:
    """The name under which the reference reports a data source: `Sudoku` -> `Sudokubootcamp`."""
    return f"{data_source}bootcamp"


def encode(value: Any) -> bytes:
    """A value as compact JSON; with escapes instead of UTF-8 where it holds lone surrogates. NaN becomes null.

    msgspec takes a fifth of the standard library's time.

    Raises:
        TypeError: the value cannot be represented in JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Any:
    """The value of a JSON text; what msgspec refuses (NaN, lone surrogates) is read by the standard library.

    Raises:
        ValueError: it is not JSON in UTF-8.
        RecursionError: it is nested too deeply.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        return json.loads(data.decode())


def encode_line(value: Any) -> bytes:
    """The value as one line, line feed included."""
    return encode(value) + b"\n"


def encode_exactly(value: Any) -> bytes:
    """A JSON value as compact JSON in which NaN and infinities stay, bare, as Python's json writes and reads them.

    Lone surrogates become escapes. Nothing is called that a verifier in the same process could replace in json or
    msgspec: what is written here must not become the message about another sample.

    The value must not contain itself.

    Raises:
        TypeError: the value cannot be represented in JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        encoded = _encode(value)
    except UnicodeEncodeError:
        return _written(value)
    return _written(value) if b"null" in encoded and has_non_finite(value) else encoded  # null may stand for NaN


def has_non_finite(value: Any) -> bool:
    """Whether NaN or an infinity is a part of a value that does not contain itself."""
    shown = repr(value)  # at a quarter of the time
    if "nan" not in shown and "inf" not in shown:
        return False
    level = [value]
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, (list, tuple)):
                inner.extend(item)
            elif isinstance(item, float) and not _is_finite(item):
                return True
        level = inner
    return False


def _written(value: Any) -> bytes:
    """What `encode_exactly` says of a value that msgspec refuses or changes; a loop, so that any depth is written."""
    parts: list[bytes] = []
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, _Raw):
            parts.append(bytes(item))
        elif isinstance(item, dict):
            inner = [part for key, child in item.items() for part in (_COMMA, _key(key), child)]
            todo += [_CLOSED, *reversed(inner[1:])]
            parts.append(b"{")
        elif isinstance(item, (list, tuple)):
            inner = [part for child in item for part in (_COMMA, child)]
            todo += [_END, *reversed(inner[1:])]
            parts.append(b"[")
        elif isinstance(item, str):
            parts.append(_string(item))
        elif isinstance(item, float) and not _is_finite(item):
            parts.append(b"NaN" if _is_nan(item) else b"Infinity" if item > 0 else b"-Infinity")
        else:
            parts.append(_encode(item))
    return b"".join(parts)


def _key(key: Any) -> Any:
    """The key of an object with its colon."""
    if isinstance(key, str):
        return _Raw(_string(key) + b":")
    return _Raw(_encode({key: 0})[1:-2])


def _string(text: str) -> bytes:
    try:
        return _encode(text)
    except UnicodeEncodeError:
        units = text.encode("utf-16-be", "surrogatepass").hex()
        return b'"%b"' % "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)).encode()


def encode_record(record: Record) -> bytes:
    """The line of a record, line feed included, with NaN and infinities of ground truth and extracted value."""
    line = encode_line(record)
    if b"null" in line and (_may_hold_non_finite(record.ground_truth) or _may_hold_non_finite(record.extracted_output)):
        return encode_exactly(msgspec.to_builtins(record)) + b"\n"
    return line


def _may_hold_non_finite(value: Any) -> bool:
    """Whether msgspec may write null for a part of the value; strings and None, which are most common, cost nothing."""
    if value is None or type(value) is str:
        return False
    try:
        return b"null" in _encode(value) and has_non_finite(value)
    except UnicodeEncodeError:
        return has_non_finite(value)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_is_finite, _is_nan = math.isfinite, math.isnan
_Raw = msgspec.Raw
_COMMA, _END, _CLOSED = _Raw(b","), _Raw(b"]"), _Raw(b"}")
