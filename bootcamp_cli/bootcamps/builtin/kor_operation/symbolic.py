"""Formulas out of a model's answer as sympy expressions: the one place where sympy evaluates such text.

sympy's parser turns text into Python code and runs it. What reaches it has passed three gates: the characters (no
quotes, attributes, double underscores, ...), the code that sympy has made of them (a syntax tree of arithmetic and of
calls of the functions below), and the size that a value could grow to. The names that the code can see are those
functions, without Python's builtins. Importing this module imports sympy: bootcamps do so when they judge, in a worker.
"""

import ast
import builtins
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import comb
from tokenize import untokenize
from types import BuiltinFunctionType
from typing import Any

import sympy
from sympy.core.function import AppliedUndef
from sympy.parsing.sympy_parser import T, convert_xor, parse_expr, standard_transformations

MAX_CHARACTERS = 2000
MAX_DEPTH = 100
MAX_BITS = 50_000
"""Largest numerator or denominator, as bounded from the text, symbols counting as 2; sympy takes milliseconds there."""
MAX_EXPONENTS = 20
"""Largest sum of the exponents of powers of sums, in a value that sympy expands to compare it."""
MAX_OPERATIONS = 60
"""Largest number of operations in what is simplified, expanded, ... within a formula."""
MAX_DEGREE = 40
"""Largest sum of the exponents in what is rewritten, times the number of its symbols."""
MAX_ROOTS = 4
"""Most different roots in what is rewritten."""
MAX_REWRITTEN = 8
"""Most calls of functions that rewrite or sum up, each of which may take sympy a tenth of a second."""
MAX_TERMS = 500
"""Most terms that an expansion or a sum may have."""

PYTHON_LIKE = (*standard_transformations, convert_xor)
"""Python's syntax with `3!` and `0.2[1]`, numbers being exact only where they are written so."""
LENIENT = T[:]
"""All that sympy understands beside: `2x`, `sin x`, `xy`, decimals as fractions, an equals sign."""

_REFUSED = re.compile(r"""[^\x00-\x7f]|__|['"\\`;@]|lambda|(?<!\d)\.(?!doit\(\))[A-Za-z_]""")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONSTANTS = _words("pi E I oo zoo nan GoldenRatio EulerGamma Catalan")
_NUMBERS = _words("Integer Rational Float Number")
_STEADY = _words("""
    sqrt cbrt root Abs abs sign re im arg conjugate floor ceiling frac Mod Max Min max min Add Mul
    asin acos atan acot asec acsc atan2 asinh acosh atanh acoth Heaviside DiracDelta
""")
"""Functions whose values are hardly larger than their arguments."""
_LOGARITHMS = _words("log ln")
_WAVES = _words("sin cos")
_GROWING = _words("""
    exp sinh cosh tanh coth sech csch sin cos tan cot sec csc sinc erf erfc gamma factorial factorial2 binomial
""")
"""Functions that can take n bits to 2**n, trigonometric ones on the imaginary axis."""
_POWERS = _words("Pow pow round N diff Derivative integrate Integral")
"""Functions in which what follows the first argument acts as an exponent at worst."""
_REWRITING = _words("expand simplify factor together cancel trigsimp nsimplify S sympify")
"""Functions of one argument that write the same value in another way."""
_BINDING = _words("limit Sum")
"""Functions that put what follows the first argument in the place of its symbols."""
_TO_BE_DONE = _words("Sum Integral Derivative")
"""Functions after which `.doit()` may stand."""

_WITHOUT_VALUE = (sympy.Derivative, sympy.Integral, sympy.DiracDelta)
_POINT = [sympy.Rational(618, 1000), sympy.Rational(-271, 500), sympy.Rational(143, 100), sympy.Rational(-77, 900)]


def parsed(text: str, transformations: Any) -> Any:
    """Read a formula; the result is whatever it comes to, mostly a sympy expression.

    Raises:
        ValueError: the text is refused by one of the gates.
        Exception: whatever sympy or the tokenizer raises where the text is no formula.
    """
    # Python ignores what stands behind #, so the gates need not look at it
    formula = text.partition("#")[0].strip()
    if len(formula) > MAX_CHARACTERS or _REFUSED.search(formula) or _depth(formula) > MAX_DEPTH:
        raise ValueError("no formula: refused characters, over 2,000 of them, or nested over 100 deep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # the gate to the code is the last transformation: what it sees is what runs
        return parse_expr(formula, {}, (*transformations, _gate), dict(_NAMESPACE))


def is_zero(value: Any) -> bool:
    """Whether sympy finds a value to be zero, once it has simplified it."""
    return _needs_work(value) and sympy.simplify(value).equals(0) is True


def are_equal(left: Any, right: Any) -> bool:
    """Whether sympy finds two expressions to be equal."""
    return _is_expression(left) and _needs_work(left - right) and left.equals(right) is True


def _needs_work(value: Any) -> bool:
    """Whether a value could be zero, as far as a look and one point tell, and sympy can find out in seconds."""
    if not _is_expression(value) or value.has(sympy.Mod) or _surely_nonzero(value):
        return False
    powers = [power.exp for power in value.atoms(sympy.Pow) if power.base.is_Add and power.exp.is_Integer]
    return bool(sum(map(abs, powers)) <= MAX_EXPONENTS)


def _surely_nonzero(value: Any) -> bool:
    """Whether a value differs from 0 at one real point, which makes further work on it superfluous.

    To simplify what is obviously not zero costs sympy most: a second for LaTeX read as a product of letters.
    """
    if value.has(*_WITHOUT_VALUE):
        return False
    # what is zero for every function f(x) is zero for a cosine in its place
    value = value.replace(AppliedUndef, lambda *arguments: sympy.cos(sympy.Add(1, *filter(_is_expression, arguments))))
    symbols = sorted(value.free_symbols, key=str)
    point = {symbol: _POINT[i % len(_POINT)] + sympy.Rational(i, 1009) for i, symbol in enumerate(symbols)}
    number = value.evalf(15, subs=point, maxn=60)
    return bool(number.is_number and number.is_finite and abs(number) > 1e-6)


def _is_expression(value: Any) -> bool:
    return isinstance(value, sympy.Expr)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[()\[\]{}]", text):
        depth += 1 if bracket in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def _gate(tokens: Any, _local: Any, _global: Any) -> Any:
    """Let tokens pass that make nothing but arithmetic and calls of bounded size."""
    # written out as sympy does it: two * with a blank between become a power
    code = ast.parse(untokenize(tokens).strip(), mode="eval").body
    names = [node.func.id for node in ast.walk(code) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    if sum(name in _REWRITING | _BINDING for name in names) > MAX_REWRITTEN:
        raise ValueError("no formula: too many calls of functions that rewrite")
    _bound(code, 1)
    return tokens


@dataclass(frozen=True, slots=True)
class _Bound:
    """How large an expression may be: `digits` bounds the bits of a number in it, `value` the bits of its value.

    The two differ where sympy leaves a function alone: exp(9) is of few digits and of 13 bits. `plain` says that it is
    real and without logarithms, so that exp cannot turn it into a power nor sin into a hyperbolic sine.
    """

    digits: int
    value: int
    plain: bool = False

    @property
    def worst(self) -> int:
        """The larger of the two, for functions that may turn the value into digits."""
        return _checked(max(self.digits, self.value))


def _all(bits: int) -> _Bound:
    return _Bound(bits, bits)


def _joined(bounds: Iterable[_Bound]) -> _Bound:
    """The bound of a sum or a product of such values."""
    parts = tuple(bounds)
    return _Bound(
        sum(part.digits for part in parts), sum(part.value for part in parts), all(part.plain for part in parts)
    )


def _checked(bits: int) -> int:
    if bits > MAX_BITS:
        raise ValueError(f"formula of values of up to {bits.bit_length()} bits")
    return bits


def _bound(node: ast.expr, symbol: int) -> _Bound:
    """Bound the size of an expression, symbols being of `symbol` bits, and refuse what is no arithmetic."""
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            bits = max(1, number.bit_length())
            bound = _Bound(bits, bits, plain=True)
        case ast.Name(id=name) if name in _CONSTANTS:
            bound = _Bound(2, 2, plain=name in {"pi", "E"})
        case ast.Call(func=ast.Name(id="Symbol" | "Function"), args=[ast.Constant(value=str())], keywords=[]):
            bound = _all(symbol)
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str()), *_] as arguments) if name in _NUMBERS:
            bits = sum(map(_bits_of_decimal, arguments))
            bound = _Bound(bits, bits, plain=True)
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name)) as call, attr="doit"), args=[]) if (
            name in _TO_BE_DONE and not node.keywords
        ):
            bound = _bound(call, symbol)
        case ast.Call(func=ast.Name(id=name), args=[first, *rest], keywords=[]) if name in _BINDING and rest:
            places = _joined(_bound(argument, symbol) for argument in rest).worst
            bound = _all(_bound(first, places).worst + places)
        case ast.Call(func=function, args=[first, *rest], keywords=[]):
            bound = _bound_of_call(function, [_bound(argument, symbol) for argument in (first, *rest)])
        case ast.BinOp():
            bound = _bound_of_operation(node, symbol)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Invert(), operand=operand):
            bound = _bound(operand, symbol)
        case ast.Tuple(elts=elements):
            bound = _joined(_bound(element, symbol) for element in elements)
        case _:
            raise ValueError(f"no formula: {type(node).__name__}")
    _checked(bound.digits)
    return bound


def _bound_of_operation(node: ast.BinOp, symbol: int) -> _Bound:
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
            return _joined(_bound(operand, symbol) for operand in _operands(node))
        case ast.BinOp(left=ast.Name(id="E"), op=ast.Pow(), right=right):
            return _bound_of_call(ast.Name(id="exp"), [_bound(right, symbol)])
        case ast.BinOp(left=left, op=ast.Pow() | ast.LShift() as operation, right=right):
            base, exponent = _bound(left, symbol), _bound(right, symbol)
            digits = (base.digits if isinstance(operation, ast.Pow) else base.worst) << exponent.worst
            # not plain: the root of a negative number is not real
            return _Bound(max(digits, base.digits + exponent.digits), base.value << exponent.worst)
        case ast.BinOp(left=left, op=operation, right=right) if not isinstance(operation, ast.MatMult):
            return _all(_bound(left, symbol).worst + _bound(right, symbol).worst)
        case _:
            raise ValueError("no formula: another operation")


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    """The operands of a chain of sums and products, the last one first; there may be more than Python recurses."""
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        yield node.right
        node = node.left
    yield node


def _bound_of_call(function: ast.expr, arguments: list[_Bound]) -> _Bound:
    first, *rest = arguments
    match function:
        case ast.Name(id=name) if name in _LOGARITHMS:
            # the logarithm of n bits is of few; as an exponent of exp it gives back what it was taken of
            whole = _joined(arguments)
            bound = _Bound(whole.digits, whole.value.bit_length() + len(arguments))
        case ast.Name(id=name) if name in _NUMBERS:
            bound = _joined(arguments)
        case ast.Name(id=name) if name in _STEADY:
            bound = _all(sum(argument.worst for argument in arguments))
        case ast.Name(id=name) if name in _WAVES and first.plain and not rest:
            bound = _Bound(first.worst + 1, 1, plain=True)
        case ast.Name(id="exp") if first.plain and not rest:
            bound = _Bound(first.worst + 1, 1 << first.worst, plain=True)
        case ast.Name(id=name) if name in _GROWING:
            bound = _all(1 << _checked(sum(argument.worst for argument in arguments)))
        case ast.Name(id=name) if name in _POWERS:
            bound = _all(first.worst << _checked(sum(argument.worst for argument in rest)))
        case ast.Name(id=name) if name in _REWRITING and not rest:
            bound = _all(first.worst) if name in {"nsimplify", "simplify"} else first
        case ast.Call(func=ast.Name(id="Function"), args=[ast.Constant(value=str())], keywords=[]):
            bound = _all(sum(argument.worst for argument in arguments) + 1)
        case _:
            raise ValueError("no formula: a call of another function")
    return bound


def _bits_of_decimal(number: ast.expr) -> int:
    """Bound the size of a number that the tokenizer hands on as text, such as "2.5e3"."""
    match number:
        case ast.Constant(value=str() as text) if found := re.fullmatch(r"([\d.]+)(?:[eE][+-]?(\d+))?", text):
            return 4 * (len(found[1]) + int(found[2] or 0))
        case _:
            raise ValueError("no formula: no decimal number")


def _refused(*_: Any) -> Any:
    raise ValueError("no formula: a call of another function")


def _derivative(formula: Any, *variables: Any) -> Any:
    """Differentiate up to three times; what derivatives of derivatives grow to takes seconds."""
    if formula.count_ops() > 100 or any(order > 3 for order in sympy.Tuple(*variables).atoms(sympy.Integer)):
        raise ValueError("no formula: a derivative that could take long")
    return sympy.diff(formula, *variables)


def _integral(formula: Any, *limits: Any) -> Any:
    """Integrate small polynomials in the variables and two functions of sums of them: others can take minutes."""
    formula = sympy.Add(formula)
    functions = [function for function in formula.atoms(sympy.Function) if function.free_symbols]
    product = formula.xreplace({function: sympy.Dummy() for function in functions})
    degrees = [_degree(sympy.Add(*function.args)) for function in functions]
    if len(functions) > 2 or max(degrees, default=1) > 1 or _degree(product) > 5:
        raise ValueError("no formula: an integral that could take long")
    return sympy.integrate(formula, *limits)


def _degree(formula: Any) -> int:
    """The degree of a polynomial in its symbols; functions of numbers alone are coefficients."""
    if not formula.is_polynomial():
        raise ValueError("no formula: an integral of no polynomial")
    return int(sympy.Poly(formula, *formula.free_symbols, sympy.Dummy()).total_degree())


def _rewriting(name: str) -> Any:
    """One of sympy's functions of this name, for an expression that it can rewrite soon."""

    def rewritten(formula: Any) -> Any:
        formula = sympy.Add(formula)
        powers = [power.exp for power in formula.atoms(sympy.Pow)]
        degree = sum(abs(exponent) for exponent in powers if exponent.is_Integer) * len(formula.free_symbols)
        n_roots = sum(exponent.is_Rational and not exponent.is_Integer for exponent in powers)
        is_small = formula.count_ops() <= MAX_OPERATIONS and _n_terms(formula) <= MAX_TERMS
        if not is_small or degree > MAX_DEGREE or n_roots > MAX_ROOTS:
            raise ValueError(f"no formula: {name} could take long")
        return getattr(sympy, name)(formula)

    return rewritten


def _n_terms(formula: Any) -> int:
    """Bound the number of terms of an expression that is expanded."""
    if formula.is_Add:
        return min(sum(map(_n_terms, formula.args)), MAX_TERMS + 1)
    n_terms = 1
    for factor in sympy.Mul.make_args(formula):
        base, exponent = factor.as_base_exp()
        if base.is_Add and exponent.is_Integer:
            n = _n_terms(base)
            n_terms *= comb(n + min(abs(int(exponent)), MAX_TERMS) - 1, n - 1)
        elif base.is_Add:
            n_terms *= _n_terms(base)
        if n_terms > MAX_TERMS:
            return n_terms
    return n_terms


def _limit(formula: Any, symbol: Any, place: Any) -> Any:
    """The limit of a small expression with a few functions in it."""
    formula = sympy.Add(formula)
    n_functions = sum(bool(function.free_symbols) for function in formula.atoms(sympy.Function))
    if formula.count_ops() > 40 or n_functions > 3 or _n_terms(formula) > 30:
        raise ValueError("no formula: a limit that could take long")
    return sympy.limit(formula, symbol, place)


def _sum(formula: Any, *limits: Any) -> Any:
    """A sum of few terms, of a small polynomial, or of a short series; `.doit()` adds them up."""
    formula = sympy.Add(formula)
    counts = [sympy.Add(high - low, 1) for _, low, high in limits]
    if all(n.is_Integer for n in counts) and sympy.Mul(*map(abs, counts)) * (formula.count_ops() + 1) <= MAX_TERMS:
        return sympy.Sum(formula, *limits)
    is_polynomial = formula.is_polynomial() and _degree(formula) <= 5
    others = formula.atoms(sympy.Function) - formula.atoms(sympy.factorial, sympy.binomial)
    is_series = formula.count_ops() <= 5 and not others and not any(n.is_Integer for n in counts)
    if not is_polynomial and not is_series:
        raise ValueError("no formula: a sum that could take long")
    return sympy.Sum(formula, *limits)


def _names() -> dict[str, Any]:
    """List the names that the code can see.

    Other names of sympy and Python are there only to be known as such: otherwise sympy would take `open` for o*p*e*n.
    """
    functions = (name for name, value in vars(builtins).items() if isinstance(value, BuiltinFunctionType))
    refused = dict.fromkeys([*sympy.__all__, *functions], _refused)
    own = {"abs": abs, "pow": pow, "round": round, "max": sympy.Max, "min": sympy.Min}
    own |= {"diff": _derivative, "Derivative": _derivative, "integrate": _integral, "Integral": _integral}
    own |= {"limit": _limit, "Sum": _sum, "S": sympy.Add, "sympify": sympy.Add}
    own |= {name: _rewriting(name) for name in _REWRITING - own.keys()}
    allowed = _CONSTANTS | _NUMBERS | _STEADY | _LOGARITHMS | _GROWING | _POWERS | {"Symbol", "Function"}
    return refused | {name: getattr(sympy, name) for name in allowed - own.keys()} | own | {"__builtins__": {}}


_NAMESPACE = _names()
