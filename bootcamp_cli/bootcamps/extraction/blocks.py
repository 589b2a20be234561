r"""Find the answer block in an output: tags, double brackets, fences, `\boxed`.

Bootcamps define their blocks by non-greedy expressions such as `\[answer\](.*?)\[/answer\]`. Run as they are, these
take quadratic time on an output with many openers and no closer (a model that repeats itself for 128 kB). The scanners
here give the same blocks in linear time.
"""

import re
from collections.abc import Iterator
from itertools import pairwise


def blocks(text: str, opener: str, closer: str, *, flags: int = 0) -> Iterator[str]:
    """Yield what `re.findall(opener + "(.*?)" + closer, text, re.DOTALL | flags)` lists, left to right.

    A block runs from the first unconsumed opener to the first closer after it, so an opener left open swallows
    later ones. Linear, because no closer after one opener means none after any later opener.
    """
    for start, end in delimiters(text, opener, closer, flags=flags):
        yield text[start.end() : end.start()]


def delimiters(text: str, opener: str, closer: str, *, flags: int = 0) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Yield the opener and the closer of each of `blocks`."""
    opening, closing = re.compile(opener, flags), re.compile(closer, flags)
    start = opening.search(text)
    while start and (end := closing.search(text, start.end())):
        yield start, end
        start = opening.search(text, end.end())


def last_block(text: str, opener: str, closer: str, *, flags: int = 0) -> str | None:
    """Return the last of `blocks`, even where an earlier one looks better; None without any."""
    return [None, *blocks(text, opener, closer, flags=flags)][-1]


def answer_blocks(text: str) -> Iterator[str]:
    """Yield the contents of `[answer]...[/answer]`, left to right."""
    return blocks(text, r"\[answer\]", r"\[/answer\]")


def last_answer(text: str) -> str | None:
    """Return the content of the last `[answer]...[/answer]`."""
    return last_block(text, r"\[answer\]", r"\[/answer\]")


def stripped_block(
    text: str, opener: str = r"\[answer\]", closer: str = r"\[/answer\]", *, flags: int = 0
) -> str | None:
    """Return the last of `blocks` without the whitespace around it; `[answer]` is the usual tag."""
    content = last_block(text, opener, closer, flags=flags)
    return None if content is None else content.strip()


def last_brackets(text: str, *, across_lines: bool = False) -> str | None:
    r"""Return the content of the last `[[...]]`, as the expression `\[\[(.*?)\]\]` finds it.

    `across_lines` says whether its dot matches a newline. Without it a block stands on one line, and an unclosed `[[`
    swallows text to the end of its line at most.
    """
    for piece in reversed([text] if across_lines else text.split("\n")):
        if "[[" in piece and (content := last_block(piece, r"\[\[", r"\]\]")) is not None:
            return content
    return None


def stripped_brackets(text: str, *, across_lines: bool = False) -> str | None:
    """Return the content of the last `[[...]]` without the whitespace around it."""
    content = last_brackets(text, across_lines=across_lines)
    return None if content is None else content.strip()


def closed_brackets(text: str) -> Iterator[str]:
    r"""Yield what `re.findall(r"\[\[([^\]]+)\]\]", text)` lists: the contents, not empty, that hold no `]`.

    Each piece between two `]` is looked at once. Such a block ends where an empty piece follows, and begins after the
    first `[[` of its own piece.
    """
    pieces = text.split("]")
    for piece, following in pairwise(pieces[:-1]):
        if not following and (content := piece.partition("[[")[2]):
            yield content


def last_fence(text: str, language: str) -> str | None:
    r"""Return the stripped content of the last fence that names a language: ```` ```json\s*([\s\S]*?)\s*``` ````.

    The language follows the backticks directly; the content may start right after it.
    """
    return stripped_block(text, f"```{re.escape(language)}", "```")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}`, as the scorer of the MATH data set finds it.

    `\boxed ` with a blank anywhere wins over any `\boxed{`: the text after its last occurrence, up to a `$`.

    Raises:
        ValueError: the last balanced `\boxed` or `\fbox` is not of the form `\boxed{...}`.
    """
    if r"\boxed " in text:
        return text.rpartition(r"\boxed ")[2].partition("$")[0]
    start = text.rfind(r"\boxed")
    if start < 0 and (start := text.rfind(r"\fbox")) < 0:
        return None
    depth = 0
    for brace in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0 and brace[0] == "}":
            if text.startswith(r"\boxed{", start):
                return text[start + len(r"\boxed{") : brace.start()]
            raise ValueError(f"expected \\boxed{{...}}, got {text[start : start + 20]!r}")
    return None


def last_match(text: str, pattern: str) -> str | None:
    r"""Return group 1 of the last match of a pattern that is linear by itself, such as `\[\[(\d+)\]\]`."""
    return [None, *(match[1] for match in re.finditer(pattern, text))][-1]


def last_letter(text: str, letters: str, *, padded: bool = False) -> str | None:
    """Return the last `[[X]]`, in upper case, with X a single character of a class such as `A-Fa-f`.

    `padded` says whether whitespace may stand around the letter.
    """
    space = r"\s*" if padded else ""
    letter = last_match(text, rf"\[\[{space}([{letters}]){space}\]\]")
    return letter and letter.upper()
