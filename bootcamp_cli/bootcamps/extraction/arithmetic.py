"""Evaluate arithmetic from a model's answer as Python would, without executing any of it."""

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

MAX_BITS = 100_000
"""Largest integer that is computed: 30,000 decimal digits, far beyond any right answer, and still cheap to divide."""

MAX_TOTAL_BITS = 10_000_000
"""Most bits in all intermediate results of an expression together: half a second of the most expensive operations."""

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


def evaluate(expression: str, functions: Mapping[str, Callable[..., Any]] = MappingProxyType({})) -> Any:
    """Evaluate numbers, arithmetic, bit operators, comparisons, and/or/not and conditionals as Python does.

    `functions` may be called by name, with values and with lists or tuples of values; see NUMBER_FUNCTIONS. The result
    is an int, float, bool or complex, bit for bit what `eval` gives: floats keep their rounding.

    Raises:
        ValueError: anything else (a name, a call, a tuple), an integer beyond MAX_BITS, results beyond MAX_TOTAL_BITS,
            or nesting that is too deep.
        ArithmeticError: division by zero and the like, as Python raises it.
        TypeError: an operator or a function that its operands do not have.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # eval skips leading blanks and tabs, ast.parse takes them for indentation
            return _Evaluation(functions).value(ast.parse(expression.lstrip(" \t"), mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError) as error:
            # the parser's MemoryError is about nesting; integers that could exhaust memory are refused earlier
            raise ValueError(f"not arithmetic: {type(error).__name__}") from error


class _Evaluation:
    """The evaluation of one expression, which keeps count of the work."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions
        self._bits_left = MAX_TOTAL_BITS

    def value(self, node: ast.expr) -> Any:  # noqa: PLR0911 - a return for each kind of node
        match node:
            case ast.Constant(value=int() | float() | complex() as number):
                return self._counted(number)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self._binary(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](self.value(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISON for op in ops):
                return self._comparison(self.value(left), ops, comparators)
            case ast.BoolOp(op=op, values=values):
                return self._first_decisive(values, decisive=isinstance(op, ast.Or))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test) else orelse)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in self._functions:
                return self._functions[name](*(self._argument(argument) for argument in arguments))
            case _:
                raise ValueError(f"not arithmetic: {type(node).__name__}")

    def _argument(self, node: ast.expr) -> Any:
        match node:
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case _:
                return self.value(node)

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            grows_by = {ast.Pow: left.bit_length() * right, ast.LShift: left.bit_length() + right}.get(type(op), 0)
            if grows_by > MAX_BITS:
                raise ValueError(f"integer of {grows_by} bits, at most {MAX_BITS} are computed")
        return self._counted(_BINARY[type(op)](left, right))

    def _counted(self, number: Any) -> Any:
        if isinstance(number, int):
            bits = number.bit_length()
            self._bits_left -= bits
            if bits > MAX_BITS:
                raise ValueError(f"integer of {bits} bits, at most {MAX_BITS} are computed")
            if self._bits_left < 0:
                raise ValueError(f"integers of more than {MAX_TOTAL_BITS} bits together")
        return number

    def _comparison(self, left: Any, ops: list[ast.cmpop], comparators: list[ast.expr]) -> Any:
        result: Any = True
        for op, comparator in zip(ops, comparators, strict=True):
            right = self.value(comparator)
            result = _COMPARISON[type(op)](left, right)
            if not result:
                break
            left = right
        return result

    def _first_decisive(self, values: list[ast.expr], *, decisive: bool) -> Any:
        for node in values[:-1]:
            value = self.value(node)
            if bool(value) is decisive:
                return value
        return self.value(values[-1])


def _round(number: Any, places: int | None = None) -> Any:
    if isinstance(number, int) and places is not None:
        # Python computes 10**-places, however large; beyond the length of the number the result is 0 all the same
        places = max(places, -1 - number.bit_length() // 3)
    return round(number, places)


NUMBER_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"abs": abs, "float": float, "int": int, "max": max, "min": min, "round": _round, "sum": sum}
)
"""Python's own functions on numbers, for `evaluate`."""
