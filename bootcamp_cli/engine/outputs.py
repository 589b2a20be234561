"""Outputs that were generated elsewhere: lines of JSON whose keys, the columns, say of which question each is."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import msgspec

from bootcamp_cli.dataset.files import names_of
from bootcamp_cli.dataset.stream import iter_samples
from bootcamp_cli.engine.importing import Place
from bootcamp_cli.engine.plan import Plan
from bootcamp_cli.errors import SettingsError
from bootcamp_cli.server.failures import AttemptFailed, bad_response
from bootcamp_cli.server.response import load_object, make_answer, reasoning_of, refuse_cut_off, text_of
from bootcamp_cli.text import MAX_VALUE_CHARS, shortened
from bootcamp_cli.types import MAX_REPEATS, MAX_ROW, Answer, Sample

_AMBIGUOUS = (-1, -1)

Key = Literal["id", "prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which key of a line holds what; the defaults are those of the details of a run.

    A line tells its question by `row`, with `file` where there are several test files; else by `id`; else by `prompt`.
    Where it has a prompt as text, this must be that of the question. `output` is a text, or a list of texts: answers to
    the same question. Without `repeat`, the n-th answer to a question is its n-th repeat. `tokens` is the number of
    generated tokens; where there is none, the counts of an object `usage` count. A column that is named must be there,
    one of the defaults need not; an empty name is no column.
    """

    output: str = "output"
    file: str = "file"
    row: str = "row"
    id: str = "id"
    prompt: str = "prompt"
    repeat: str = "repeat"
    reasoning: str = "reasoning_content"
    finish_reason: str = "finish_reason"
    tokens: str = "completion_tokens"
    model: str = "model"

    def __post_init__(self) -> None:
        if not self.output:
            raise SettingsError("--output-column: must name a column")


class Outputs:
    """Lines with outputs: a `ResultForm`. `named` are the columns that every line must have."""

    def __init__(self, plan: Plan, columns: Columns, named: frozenset[str]) -> None:
        self._plan = plan
        self._columns = columns
        self._needed = sorted({getattr(columns, name) for name in named} | {columns.output})
        self._by_name = {name: file.name for file in plan.test_set.files for name in names_of(file.name)}
        self._only = plan.test_set.files[0].name if len(plan.test_set.files) == 1 else None
        self._questions: dict[Key, Mapping[tuple[str | None, str], tuple[Any, int]]] = {}
        self._n_answers: dict[tuple[str, int], int] = {}

    def places(self, line: bytes) -> Iterator[Place]:
        """Of which samples the outputs of a line are.

        Raises:
            ValueError: the line has no output, or does not tell of which question it is.
        """
        found = _object(line)
        for name in self._needed:
            if name not in found:
                raise ValueError(f"no column {name}")
        n_outputs = len(_outputs(found[self._columns.output]))
        for part in range(n_outputs):
            self._n_tokens(found, part)
        question = self._question(found)
        if question is None:
            return
        file, row = question
        first = _number(self._value(found, "repeat"), self._columns.repeat, MAX_REPEATS)
        if first is None:
            first = self._n_answers.get(question, 0)
        prompt = self._value(found, "prompt")
        stamp = _stamp(prompt) if isinstance(prompt, str) else 0
        for part in range(n_outputs):
            yield Place(file, row, first + part, part=part, stamp=stamp)
        self._n_answers[question] = first + n_outputs

    def stamp(self, sample: Sample) -> int:
        """The digest of a sample's prompt."""
        return _stamp(sample.prompt)

    def answer(self, sample: Sample, line: bytes, part: int) -> Answer:  # noqa: ARG002 - the line tells all
        """An output as an answer. Raises AttemptFailed where it is null, or was cut off by the server."""
        found = load_object(line)
        output = _outputs(found[self._columns.output])[part]
        if output is None:
            raise bad_response("no output")
        finish_reason = _part(self._value(found, "finish_reason"), part)
        refuse_cut_off({}, {"finish_reason": finish_reason})
        n_tokens = self._n_tokens(found, part)
        answer = make_answer(
            text=text_of(output),
            reasoning=reasoning_of({"reasoning": _part(self._value(found, "reasoning"), part)}, None),
            finish_reason=finish_reason or "stop",  # else an empty output is no answer
            usage=found.get("usage") if n_tokens is None else {"completion_tokens": n_tokens},
            model=self._value(found, "model"),
            system_fingerprint=None,
        )
        return answer if finish_reason else msgspec.structs.replace(answer, finish_reason=None)

    def _n_tokens(self, found: Mapping[str, Any], part: int) -> int | None:
        return _number(_part(self._value(found, "tokens"), part), self._columns.tokens, None)

    def _value(self, found: Mapping[str, Any], column: str) -> Any:
        name = getattr(self._columns, column)
        return found.get(name) if name else None

    def _question(self, found: Mapping[str, Any]) -> tuple[str, int] | None:
        """Test file and row of a line; None where it is of none of the run's."""
        named = self._value(found, "file")
        file = self._only if named is None else self._by_name.get(str(named))
        if named is not None and file is None:
            return None
        row = _number(self._value(found, "row"), self._columns.row, MAX_ROW)
        if row is not None:
            if file is None:
                raise ValueError(f"a row without its test file (column {self._columns.file or 'file'})")
            return file, row
        for key in ("id", "prompt"):
            value = self._value(found, key)
            if isinstance(value, str | int | float):
                question = self._known(key).get((file, str(value)))
                if question == _AMBIGUOUS:
                    shown = shortened(repr(value), MAX_VALUE_CHARS)
                    raise ValueError(f"several questions have the {key} {shown}: name their row and test file")
                return question
        raise ValueError("nothing tells of which question it is: no row, id or prompt")

    def _known(self, key: Key) -> Mapping[tuple[str | None, str], tuple[Any, int]]:
        """The questions by id or prompt, with and without their test file; read when it is first needed."""
        if key not in self._questions:
            known: dict[tuple[str | None, str], tuple[Any, int]] = {}
            for file in self._plan.test_set.files:
                for sample in iter_samples(file):
                    value = str(getattr(sample, key))
                    for name in {sample.file, self._only}:
                        known[name, value] = (sample.file, sample.row) if (name, value) not in known else _AMBIGUOUS
            self._questions[key] = known
        return self._questions[key]


def columns_of(names: Mapping[str, str | None]) -> tuple[Columns, frozenset[str]]:
    """The columns that were named, and which of them every line must have."""
    given = {name: value for name, value in names.items() if value is not None}
    assert given.keys() <= {field.name for field in fields(Columns)}  # noqa: S101 - the options are those
    return Columns(**given), frozenset(name for name, value in given.items() if value)


def _object(line: bytes) -> dict[str, Any]:
    try:
        return load_object(line)
    except AttemptFailed as failure:
        raise ValueError(failure.message.replace("a reply", "a line", 1)) from None


def _outputs(value: Any) -> list[Any]:
    outputs = value if isinstance(value, list) else [value]
    if not all(output is None or isinstance(output, str) for output in outputs):
        raise ValueError("an output that is not a text")
    return outputs


def _part(value: Any, part: int) -> Any:
    """What belongs to one of the outputs of a line: its own, or the one value for all."""
    if not isinstance(value, list):
        return value
    return value[part] if part < len(value) else None


def _number(value: Any, column: str, below: int | None) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < 0 or (below is not None and value >= below):
        raise ValueError(f"{column}: must be a number of 0 or more, got {shortened(repr(value), MAX_VALUE_CHARS)}")
    return value


def _stamp(prompt: str) -> int:
    """A digest of a prompt in 64 bits, never 0."""
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") or 1
