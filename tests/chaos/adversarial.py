"""Long outputs that a verifier may choke on: brackets, digits and blanks of its own right answers, repeated."""

import re
from collections.abc import Callable, Iterator
from random import Random

_PIECES = re.compile(r"\d+|\w+|\s+|[^\w\s]")
_BLOCK = re.compile(r"(\[answer\]|```\w*\n?|\\boxed\{|\[\[)(.*?)(\[/answer\]|```|\}|\]\])", re.DOTALL)
_FILLINGS: tuple[str, ...] = (
    "[",
    "]",
    "(",
    "{",
    "((",
    "()",
    "[[",
    "[1,",
    '{"a":',
    "9",
    "0",
    "1.",
    "-",
    "+1",
    "*",
    " ",
    "\n",
    "\t",
    "|",
)
_FILLINGS += (
    ",",
    ", ",
    "a",
    "a ",
    "A1",
    "=",
    "~",
    "\\",
    "\\frac{",
    "&&",
    "¬",
    "'",
    '"',
    "\0",
    "\u0661",
    "é",
    "汉",
    "...",
)
_TAGS = (("[answer]", "[/answer]"), ("[[", "]]"), ("```json\n", "\n```"), ("\\boxed{", "}"), ("<answer>", "</answer>"))

Recipe = Callable[[str, int, Random], str]


def adversarial(answer: str, size: int, seeded: Random) -> Iterator[tuple[str, str]]:
    """Outputs of `size` characters, each with the name of its recipe."""
    for name, recipe in RECIPES.items():
        yield name, recipe(answer, size, seeded)


def _filled(answer: str, size: int, seeded: Random) -> str:
    """The right answer with a filling somewhere in its block."""
    place = _place_in_block(answer, seeded)
    return answer[:place] + _repeated(seeded.choice(_FILLINGS), size) + answer[place:]


def _stretched(answer: str, size: int, seeded: Random) -> str:
    """The right answer with a piece of its own repeated in place."""
    pieces = _PIECES.findall(answer)
    position = seeded.randrange(len(pieces))
    return "".join([*pieces[:position], _repeated(pieces[position], size), *pieces[position + 1 :]])


def _repeated_part(answer: str, size: int, seeded: Random) -> str:
    """The right answer with a slice of its own repeated in place."""
    begin = _place_in_block(answer, seeded)
    end = min(len(answer), begin + seeded.randint(1, 40))
    return answer[:begin] + _repeated(answer[begin:end] or "1", size) + answer[end:]


def _shuffled(answer: str, size: int, seeded: Random) -> str:
    """The pieces of the right answer in any order, in one block."""
    pieces = _PIECES.findall(answer)
    body = "".join(seeded.choices(pieces, k=size // 2))[:size]
    found = _BLOCK.search(answer)
    return f"{found[1]}{body}{found[3]}" if found else body


def _many_answers(answer: str, size: int, _: Random) -> str:
    """The right answer again and again."""
    return _repeated(f"{answer}\n", size)


def _never_closed(answer: str, size: int, _: Random) -> str:
    """The beginning of the right answer again and again."""
    found = _BLOCK.search(answer)
    return _repeated(answer[: found.start(3)] if found else answer[:-1] or "[", size)


def _nested(answer: str, size: int, seeded: Random) -> str:
    """The right answer inside thousands of tags of one kind."""
    opening, closing = seeded.choice(_TAGS)
    n = size // len(opening + closing)
    return opening * n + answer + closing * n


def _mixed_tags(answer: str, size: int, seeded: Random) -> str:
    """Openings and closings of all kinds in any order, with the pieces of the right answer between them."""
    words = [tag for pair in _TAGS for tag in pair] + _PIECES.findall(answer)
    return "".join(seeded.choices(words, k=size // 3))[:size]


RECIPES: dict[str, Recipe] = {
    "filled": _filled,
    "stretched": _stretched,
    "repeated part": _repeated_part,
    "shuffled": _shuffled,
    "many answers": _many_answers,
    "never closed": _never_closed,
    "nested": _nested,
    "mixed tags": _mixed_tags,
}


def _place_in_block(answer: str, seeded: Random) -> int:
    found = _BLOCK.search(answer)
    return seeded.randint(found.start(2), found.end(2)) if found else seeded.randrange(len(answer) + 1)


def _repeated(piece: str, size: int) -> str:
    return piece * (size // len(piece) + 1)
