"""Evaluating arithmetic out of a model's answer, as Python would, without running any of it."""

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

MAX_BITS = 100_000
"""Largest integer that takes part: 30,000 decimal digits, far beyond any right answer, and still cheap to divide."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate(expression: str) -> Any:
    """Evaluate numbers, arithmetic, bit operators, comparisons, and/or/not and conditionals as Python does.

    The result is an int, float, bool or complex, bit for bit what `eval` gives: floats keep their rounding.

    Raises:
        ValueError: anything else (a name, a call, a tuple), an integer beyond MAX_BITS, or too deep a nesting.
        ArithmeticError: division by zero and the like, as Python raises it.
        TypeError: an operator that its operands do not have.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # eval() skips blanks and tabs in front, ast.parse() takes them for indentation
            return _value(ast.parse(expression.lstrip(" \t"), mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError) as error:
            # the parser's MemoryError is about nesting, integers that could exhaust memory are refused before
            raise ValueError(f"not arithmetic: {type(error).__name__}") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() | complex() as number):
            return _within_bounds(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(op, _value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand))
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISON for op in ops):
            return _comparison(_value(left), ops, comparators)
        case ast.BoolOp(op=op, values=values):
            return _first_decisive(values, decisive=isinstance(op, ast.Or))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test) else orelse)
        case _:
            raise ValueError(f"not arithmetic: {type(node).__name__}")


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        grows_by = {ast.Pow: left.bit_length() * right, ast.LShift: left.bit_length() + right}.get(type(op), 0)
        if grows_by > MAX_BITS:
            raise ValueError(f"integer of {grows_by} bits, at most {MAX_BITS} are computed")
    return _within_bounds(_BINARY[type(op)](left, right))


def _within_bounds(number: Any) -> Any:
    if isinstance(number, int) and number.bit_length() > MAX_BITS:
        raise ValueError(f"integer of {number.bit_length()} bits, at most {MAX_BITS} are computed")
    return number


def _comparison(left: Any, ops: list[ast.cmpop], comparators: list[ast.expr]) -> Any:
    result: Any = True
    for op, comparator in zip(ops, comparators, strict=True):
        right = _value(comparator)
        result = _COMPARISON[type(op)](left, right)
        if not result:
            break
        left = right
    return result


def _first_decisive(values: list[ast.expr], *, decisive: bool) -> Any:
    for node in values[:-1]:
        value = _value(node)
        if bool(value) is decisive:
            return value
    return _value(values[-1])
