"""Hostile values, texts and damages of files, for the tests of input."""

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

HOSTILE_TEXTS = (
    "",
    " ",
    '=HYPERLINK("http://127.0.0.1/","x")',
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "a\nb\r\nc",
    "\u202egnp.exe",
    "\x00",
    "../../etc/passwd",
    "a/b\\c",
    "[bold red]markup[/bold red]",
    "<script>alert(1)</script>",
    "| a | b |",
    "'; --",
    "汉字 \U0001f9e9 e\u0301",
    "\ud800",
    "%s %n {0} {}",
    "x" * 300,
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


texts = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=20)
numbers = st.sampled_from((0, 1, -1, 2, 10**30, -(10**30), 10**400, 0.5, -0.0, 1e308)) | st.integers() | st.floats()
native_texts = texts.map(lambda text: text.replace("\0", "").encode("utf-8", "surrogatepass")).map(os.fsdecode)
"""Texts as words and variables can be: without NUL, any byte that is no UTF-8 as a lone surrogate."""
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
) | st.integers(50, 1200).map(_nested)


def tuned(*, quick: int, long: int, is_long: bool) -> settings:
    """How many examples hypothesis makes: the same examples in every quick run, new ones in every long one."""
    return settings(
        max_examples=long if is_long else quick,
        deadline=None,
        derandomize=not is_long,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def dumped(value: Any) -> bytes:
    """JSON as careless programs write it: NaN and Infinity included; what is too deep becomes a string."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 5000


@st.composite
def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with a few bytes cut out, put in, or both."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        removed = draw(st.integers(0, 30))
        put = draw(
            st.binary(max_size=6) | st.sampled_from((b"\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b'"', b"\r"))
        )
        data = data[:place] + put + data[place + removed :]
    return data


@st.composite
def damaged_json(draw: st.DrawFn, data: bytes) -> bytes:
    """A file of JSON lines, or of one object, with a value replaced or left out, or lines doubled, swapped or lost."""
    try:
        lines = [json.loads(data)]
        is_lines = False
    except ValueError:
        lines = [json.loads(line) for line in data.splitlines()]
        is_lines = True
    for _ in range(draw(st.integers(1, 2))):
        if is_lines and draw(st.booleans()):
            lines = draw(st.permutations([*lines, draw(st.sampled_from(lines))]))[draw(st.integers(0, 1)) :]
        else:
            position = draw(st.integers(0, len(lines) - 1))
            lines[position] = draw(_replaced(lines[position]))
    return b"\n".join(map(dumped, lines)) + b"\n" * draw(st.integers(0, 1))


@st.composite
def _replaced(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with something inside it replaced or missing."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 3)) == 0:
        return draw(values)
    if isinstance(value, list):
        position = draw(st.integers(0, len(value) - 1))
        return [*value[:position], draw(_replaced(value[position])), *value[position + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    if draw(st.integers(0, 3)) == 0:
        return {name: child for name, child in value.items() if name != key}
    return value | {key: draw(_replaced(value[key]))}


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """A file damaged in any of these ways."""
    return damaged_json(data) | damaged_json(data) | damaged_bytes(data) | st.binary(max_size=200)
