"""Turn the text of an answer block into values: integers, rows of integers, Python literals, lenient JSON."""

import json
import warnings
from ast import literal_eval as literal_value
from collections.abc import Iterable
from typing import Any

LITERAL_LIMIT_CHARACTERS = 200_000
"""Longest text that is parsed as Python; its syntax tree takes up to 550 bytes a character, 110 MB in all."""


def int_tokens(text: str) -> list[int] | None:
    """Read integers between whitespace as `int()` does (`+2`, `02`, `0_2`, full-width); None on any other token."""
    try:
        return [int(token) for token in text.split()]
    except ValueError:
        return None


def token_rows(text: str, *, separator: str = "\n", keep_blank: bool = False) -> list[list[str]]:
    """Read a grid of words between whitespace, one row between two separators.

    `keep_blank` says whether a blank row is an empty row or nothing.
    """
    pieces = text.strip().split(separator)
    return [piece.split() for piece in pieces if keep_blank or piece.strip()]


def int_rows(text: str, *, separator: str = "\n", keep_blank: bool = False) -> list[list[int]] | None:
    """Read `token_rows` as integers; None on any token that is not an integer."""
    try:
        return [[int(token) for token in row] for row in token_rows(text, separator=separator, keep_blank=keep_blank)]
    except ValueError:
        return None


def spaced_rows(rows: Iterable[Iterable[object]], *, separator: str = "\n") -> str:
    """Write a grid as `int_rows` reads it: a blank between two cells, a separator between two rows."""
    return separator.join(" ".join(map(str, row)) for row in rows)


def python_literal(text: str) -> Any:
    """Read a Python literal as `ast.literal_eval` does, with everything that can go wrong as one exception.

    A text nested too deeply makes the parser raise MemoryError, which says nothing about memory; warnings about
    doubtful literals do not concern the person who runs an evaluation.

    Raises:
        ValueError: the text is not a literal, nests too deeply or is longer than LITERAL_LIMIT_CHARACTERS.
    """
    if len(text) > LITERAL_LIMIT_CHARACTERS:
        raise ValueError(f"literal of {len(text)} characters, at most {LITERAL_LIMIT_CHARACTERS} are read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return literal_value(text)
        except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise ValueError(f"not a literal: {type(error).__name__}") from error


def literal_or_none(text: str | None) -> Any | None:
    """Read the text of an answer block as a `python_literal`; None where there is no block or no literal in it."""
    if text is None:
        return None
    try:
        return python_literal(text.strip())
    except ValueError:
        return None


def json_syntax(text: str) -> str:
    """Write a Python-like value as JSON, blindly: `'` becomes `"`, round brackets become square ones."""
    return text.translate(str.maketrans("'()", '"[]'))


def lenient_json(text: str) -> Any:
    """Read a value in `json_syntax`; where it does not parse, the converted text itself is the value."""
    converted = json_syntax(text)
    try:
        return json.loads(converted)
    except (ValueError, RecursionError):
        return converted
