"""A sample as text for the terminal and as a line of JSON; whatever its texts hold, they obey nothing."""

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from bootcamp_cli.analysis.answer_parts import Piece, pieces
from bootcamp_cli.analysis.audit import Cause
from bootcamp_cli.analysis.boards import Board, boards
from bootcamp_cli.analysis.samples import ShownSample
from bootcamp_cli.text import counted, visible, visible_lines

_SHOWN_CHARS = 1500
_RULE = "─"
_MARKED = "┃ "
_PLAIN = "  "
_STYLES = {"right": "32", "wrong": "31", "failed": "31", "truncated": "33", "empty": "33", "filtered": "33"}


def sample_line(sample: ShownSample) -> str:
    """A sample as one line of JSON, with control and invisible characters as escapes."""
    values = {name: _plain(value) for name, value in msgspec.structs.asdict(sample).items()}
    text = json.dumps(values, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _plain(value: Any) -> Any:
    """The value, or None in place of a number that JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def sample_text(sample: ShownSample, *, width: int = 80, color: bool = False, whole: bool = False) -> str:
    """A sample as text, with a bar before the lines of the answer block.

    Long prompts and thinking are shortened unless `whole`; the answer is not.
    """
    return "\n".join(_lines(sample, width, whole=whole, style=_Style(on=color))) + "\n"


class _Style:
    """Terminal styles, or none."""

    def __init__(self, *, on: bool) -> None:
        self._on = on

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text


def _lines(sample: ShownSample, width: int, *, whole: bool, style: _Style) -> Iterator[str]:
    place = f"{visible(sample.file)}:{sample.row}" + (f":{sample.repeat}" if sample.repeat else "")
    score = "" if sample.score is None else f", score {sample.score:.4g}"
    head = f"{_RULE}{_RULE} {place}  {sample.status}{score} "
    rule = _RULE * max(2, width - len(head))
    yield (
        style("1", f"{_RULE}{_RULE} {place}  ")
        + style(_STYLES.get(sample.status, "1"), sample.status)
        + f"{score} {rule}"
    )
    yield style("2", _facts(sample))
    if sample.failure_message:
        yield from _block(visible_lines(sample.failure_message), whole=whole)
    if sample.status == "failed":
        return
    if sample.is_half:
        yield "run_eval.py did not write this record to its end"
    yield style("1", "prompt")
    yield from _block(visible_lines(sample.prompt), whole=whole)
    parts = pieces(sample)
    thinking, rest = [part for part in parts if part.thinking], [part for part in parts if not part.thinking]
    if thinking:
        yield style("1", f"thinking ({counted(sum(len(part.text) for part in thinking), 'character')})")
        yield from _marked(thinking, whole=whole, style=style)
    yield style("1", "output")
    yield from _marked(rest, whole=True, style=style) if rest else [f"{_PLAIN}(nothing)"]
    yield style("1", "extracted")
    yield from _block(_value(sample.extracted_output), whole=whole)
    yield style("1", "ground truth")
    yield from _block(_value(sample.ground_truth), whole=whole)
    for board in boards(sample.data_source, sample.ground_truth, sample.extracted_output):
        yield style("1", visible(board.title))
        yield from _board_lines(board, style)


def _facts(sample: ShownSample) -> str:
    cause = None if sample.cause is None else f"audit: {Cause(sample.cause).meaning}"
    length = None if sample.output_len is None else counted(sample.output_len, "token")
    if length and sample.output_len_estimated:
        length = f"{sample.output_len:,} pieces or words"
    facts = (
        sample.data_source,
        sample.family,
        f"id {sample.id}",
        sample.failure,
        cause,
        sample.finish_reason and f"finish_reason {sample.finish_reason}",
        length,
        sample.latency_s and f"{sample.latency_s:g} s",
        sample.attempts and counted(sample.attempts, "attempt"),
        sample.model,
    )
    return ", ".join(visible(fact) for fact in facts if fact)


def _value(value: Any) -> str:
    if value is None:
        return "(nothing)"
    return visible_lines(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _block(text: str, *, whole: bool, bar: str = _PLAIN) -> Iterator[str]:
    """The lines of a text, indented; of a long one the two ends."""
    n = len(text)
    if not whole and n > _SHOWN_CHARS:
        half = _SHOWN_CHARS // 2
        yield from (f"{bar}{line}" for line in text[:half].split("\n"))
        yield f"{_PLAIN}… {counted(n - 2 * half, 'character')} left out …"
        text = text[-half:]
    yield from (f"{bar}{line}" for line in text.strip("\n").split("\n"))


def _marked(parts: list[Piece], *, whole: bool, style: _Style) -> Iterator[str]:
    for part in parts:
        if part.answer:
            yield from (style("1;32", line) for line in _block(visible_lines(part.text), whole=True, bar=_MARKED))
        elif text := visible_lines(part.text).strip("\n"):
            yield from _block(text, whole=whole)


def _board_lines(board: Board, style: _Style) -> Iterator[str]:
    """A board in characters: walls are blocks, what is wrong has an exclamation mark behind it."""
    shown = [
        [
            ("█" if "wall" in cell.marks and not cell.text else visible(cell.text) or "·", "wrong" in cell.marks)
            for cell in row
        ]
        for row in board.rows
    ]
    width = max(len(text) for row in shown for text, _ in row)
    for r, row in enumerate(shown):
        cells = []
        for c, (text, is_wrong) in enumerate(row):
            cell = f"{text:>{width}}" + ("!" if is_wrong else " ")
            is_edge = board.box and (c + 1) % board.box == 0 and c + 1 < len(row)
            cells.append((style("31", cell) if is_wrong else cell) + ("│" if is_edge else ""))
        yield _PLAIN + "".join(cells)
        if board.box and (r + 1) % board.box == 0 and r + 1 < len(shown):
            part = _RULE * ((width + 1) * board.box)
            yield _PLAIN + "┼".join([part] * (len(row) // board.box))
