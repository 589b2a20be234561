"""The time limit that a third-party bootcamp allows itself, read in its source: nothing of it is run to find out."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

MOST_S = 300.0
"""A longer limit is not believed: it is one of something else, and a verifier that hangs would hold up the run."""

_NAME = re.compile(r"(.*_)?(time_?out|time_?limit|max_?time)(_s|_secs?|_seconds)?", re.IGNORECASE)
_ALARM = {"alarm": 0, "setitimer": 1}
"""Functions that set an alarm, with the position of the seconds."""


def own_time_limit(bootcamp: Any) -> float | None:
    """The longest time limit in seconds that stands in the files of a bootcamp and its bases; None without one.

    It is a number given as `timeout`, `time_limit` or the like: an argument, a default, an attribute, a constant, a
    decorator; or the seconds of an alarm.
    """
    things = inspect.getmro(bootcamp) if inspect.isclass(bootcamp) else (bootcamp, *inspect.getmro(type(bootcamp)))
    files = dict.fromkeys(file for thing in things if (file := _file(thing)))
    return max((limit for file in files for limit in _limits_in(file)), default=None)


def _file(thing: Any) -> str | None:
    try:
        return inspect.getsourcefile(thing)
    except (TypeError, OSError):  # built in, or made by no file
        return None


@cache
def _limits_in(file: str) -> tuple[float, ...]:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    values = (value for node in ast.walk(tree) for value in _values(node))
    constants = (value.value for value in values if isinstance(value, ast.Constant))
    return tuple(float(n) for n in constants if isinstance(n, int | float) and type(n) is not bool and 0 < n <= MOST_S)


def _values(node: ast.AST) -> Iterator[ast.expr | None]:
    """The expressions in a node that give a time limit."""
    match node:
        case ast.keyword(arg=str(name), value=value) if _NAME.fullmatch(name):
            yield value
        case ast.Assign(targets=targets, value=value) if any(_NAME.fullmatch(_last(each)) for each in targets):
            yield value
        case ast.AnnAssign(target=target, value=value) if _NAME.fullmatch(_last(target)):
            yield value
        case ast.arguments(args=args, posonlyargs=first, defaults=defaults, kwonlyargs=named, kw_defaults=of_named):
            plain = [*first, *args]
            pairs = [
                *zip(plain[len(plain) - len(defaults) :], defaults, strict=True),
                *zip(named, of_named, strict=True),
            ]
            yield from (default for argument, default in pairs if _NAME.fullmatch(argument.arg))
        case ast.Call(func=function, args=args) if args:
            name = _last(function)
            if (place := _ALARM.get(name)) is not None:
                yield from args[place : place + 1]
            elif _NAME.fullmatch(name):  # @timeout(30), with time_limit(30)
                yield args[0]
        case _:
            pass


def _last(node: ast.expr) -> str:
    """The last name of `a.b.c`; empty for anything else."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
