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
from tokenize import untokenize
from types import BuiltinFunctionType
from typing import Any

import sympy
from sympy.core.function import AppliedUndef
from sympy.parsing.sympy_parser import T, convert_xor, parse_expr, standard_transformations

MAX_CHARACTERS = 500
MAX_DEPTH = 30
MAX_BITS = 50_000
"""Largest numerator or denominator, as bounded from the text, symbols counting as 2; sympy takes milliseconds there."""
MAX_EXPONENTS = 20
"""Largest sum of the exponents of powers of sums, in a value that sympy expands to compare it."""

PYTHON_LIKE = (*standard_transformations, convert_xor)
"""Python's syntax with `3!` and `0.2[1]`, numbers being exact only where they are written so."""
LENIENT = T[:]
"""All that sympy understands beside: `2x`, `sin x`, `xy`, decimals as fractions, an equals sign."""

_REFUSED = re.compile(r"""[^\x00-\x7f]|__|['"\\`;@]|lambda|(?<!\d)\.[A-Za-z_]""")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONSTANTS = _words("pi E I oo zoo nan GoldenRatio EulerGamma Catalan")
_NUMBERS = _words("Integer Rational Float Number")
_STEADY = _words("""
    log ln sqrt cbrt root Abs abs sign re im arg conjugate floor ceiling frac Mod Max Min max min Add Mul
    asin acos atan acot asec acsc atan2 asinh acosh atanh acoth Heaviside DiracDelta
""")
"""Functions whose values are hardly larger than their arguments."""
_GROWING = _words("""
    exp sinh cosh tanh coth sech csch sin cos tan cot sec csc sinc erf erfc gamma factorial factorial2 binomial
""")
"""Functions that can take n bits to 2**n, trigonometric ones on the imaginary axis."""
_POWERS = _words("Pow pow round N diff Derivative integrate Integral")
"""Functions in which what follows the first argument acts as an exponent at worst."""

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
        raise ValueError("no formula: refused characters, over 500 of them, or nested over 30 deep")
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
    _bits(ast.parse(untokenize(tokens).strip(), mode="eval").body)
    return tokens


def _bits(node: ast.expr) -> int:
    """Bound the size of a value in bits, and refuse what is no arithmetic."""
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            bits = max(1, number.bit_length())
        case ast.Name(id=name) if name in _CONSTANTS:
            bits = 2
        case ast.Call(func=ast.Name(id="Symbol" | "Function"), args=[ast.Constant(value=str())], keywords=[]):
            bits = 1
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str()), *_] as arguments) if name in _NUMBERS:
            bits = sum(map(_bits_of_decimal, arguments))
        case ast.Call(func=function, args=[first, *rest], keywords=[]):
            bits = _bits_of_call(function, _bits(first), sum(map(_bits, rest)))
        case ast.BinOp(left=left, op=ast.Pow() | ast.LShift(), right=right):
            bits = _bits(left) << min(_bits(right), MAX_BITS)
        case ast.BinOp(left=left, op=op, right=right) if not isinstance(op, ast.MatMult):
            bits = _bits(left) + _bits(right)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Invert(), operand=operand):
            bits = _bits(operand)
        case ast.Tuple(elts=elements):
            bits = sum(map(_bits, elements))
        case _:
            raise ValueError(f"no formula: {type(node).__name__}")
    if bits > MAX_BITS:
        raise ValueError(f"formula of values of up to {bits.bit_length()} bits")
    return bits


def _bits_of_call(function: ast.expr, first: int, rest: int) -> int:
    match function:
        case ast.Name(id=name) if name in _STEADY | _NUMBERS:
            return first + rest
        case ast.Name(id=name) if name in _GROWING:
            return 1 << min(first + rest, MAX_BITS)
        case ast.Name(id=name) if name in _POWERS:
            return first << min(rest, MAX_BITS)
        case ast.Call(func=ast.Name(id="Function")):
            return _bits(function) + first + rest
        case _:
            raise ValueError("no formula: a call of another function")


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
    functions = formula.atoms(sympy.Function)
    product = formula.xreplace({function: sympy.Dummy() for function in functions})
    degrees = [_degree(sum(function.args)) for function in functions]
    if len(functions) > 2 or max(degrees, default=1) > 1 or _degree(product) > 5:
        raise ValueError("no formula: an integral that could take long")
    return sympy.integrate(formula, *limits)


def _degree(formula: Any) -> int:
    if not formula.is_polynomial():
        raise ValueError("no formula: an integral of no polynomial")
    return int(sympy.total_degree(formula + sympy.Dummy()))


def _names() -> dict[str, Any]:
    """List the names that the code can see.

    Other names of sympy and Python are there only to be known as such: otherwise sympy would take `open` for o*p*e*n.
    """
    functions = (name for name, value in vars(builtins).items() if isinstance(value, BuiltinFunctionType))
    refused = dict.fromkeys([*sympy.__all__, *functions], _refused)
    own = {"abs": abs, "pow": pow, "round": round, "max": sympy.Max, "min": sympy.Min}
    own |= {"diff": _derivative, "Derivative": _derivative, "integrate": _integral, "Integral": _integral}
    allowed = _CONSTANTS | _NUMBERS | _STEADY | _GROWING | _POWERS | {"Symbol", "Function"}
    return refused | {name: getattr(sympy, name) for name in allowed - own.keys()} | own | {"__builtins__": {}}


_NAMESPACE = _names()
