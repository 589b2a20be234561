"""Makes text from elsewhere harmless to look at: what would act on a terminal or hide in a text is shown instead."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, invisible formats (also bidi overrides), lone surrogates, line and paragraph separators."""


def visible(text: str) -> str:
    r"""The text with each character that is obeyed or not seen written as its escape: ESC as `\x1b`, a newline as `\n`.

    The result is one line that can be encoded as UTF-8 and stand in XML. It is for reading, not for reading back.
    """
    if text.isprintable():
        return text
    return "".join(_escape(char) if _is_hidden(char) else char for char in text)


def display_width(text: str) -> int:
    """How many terminal cells a visible text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN or _is_noncharacter(ord(char))


def _is_noncharacter(code: int) -> bool:
    """U+FDD0 to U+FDEF and the last two of each plane: XML has no place for U+FFFE and U+FFFF."""
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
