"""An answer in parts, as it is shown: its thinking, and the block that holds what counts."""

import msgspec

from bootcamp_cli.analysis.samples import ShownSample
from bootcamp_cli.bootcamps.asked_formats import ASKED_FORMATS, BLOCKS, JSON_FENCE, Span


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer: thinking or not, within the answer block or not."""

    text: str
    thinking: bool = False
    answer: bool = False


def pieces(sample: ShownSample) -> list[Piece]:
    """The answer in parts: its thinking, whether the server separated it or not, and the block that holds the answer.

    The block is the last of the kind that the prompt asks for; of data sources whose prompts are not known, the last
    of any kind. It may stand in the thinking, where nothing follows that.
    """
    found: list[Piece] = []
    parts = _thinking_and_rest(sample.reasoning_content or "", sample.output or "")
    spans = [_answer_block(text, sample.data_source) for text, _ in parts]
    last = max((i for i, span in enumerate(spans) if span), default=None)
    for i, ((text, thinking), span) in enumerate(zip(parts, spans, strict=True)):
        cut = [(text, False)]
        if span is not None and i == last:
            cut = [(text[: span.start], False), (text[span.start : span.end], True), (text[span.end :], False)]
        found += [Piece(text=part, thinking=thinking, answer=answer) for part, answer in cut if part]
    return found


def _thinking_and_rest(reasoning: str, output: str) -> list[tuple[str, bool]]:
    """The texts of an answer, each with whether it is thinking, which may lack its opening tag or have no end."""
    thought, tag, rest = output.rpartition("</think>")
    if tag:
        return [(reasoning, True), (thought + tag, True), (rest, False)]
    before, tag, endless = output.partition("<think>")
    return [(reasoning, True), (before, False), (tag + endless, True)]


_LOOKED_AT_CHARS = 256 * 1024


def _answer_block(text: str, data_source: str) -> Span | None:
    start = max(0, len(text) - _LOOKED_AT_CHARS)
    tail = text[start:]
    asked = ASKED_FORMATS.get(data_source)
    blocks = (asked.block,) if asked else (*BLOCKS, JSON_FENCE)
    last = [found[-1] for block in blocks if (found := block.spans(tail))]
    span = max(last, key=lambda each: each.end, default=None)
    return None if span is None else Span(span.start + start, span.end + start, span.content)
