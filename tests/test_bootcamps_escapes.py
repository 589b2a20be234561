"""Nothing that a model writes is executed: known escapes from sandboxes, at every built-in bootcamp."""

import ast
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sympy.parsing.sympy_parser

import bootcamp_cli.bootcamps
from bootcamp_cli.bootcamps.builtin.kor_operation import symbolic
from bootcamp_cli.bootcamps.registry import CATALOG
from tests.bootcamp_verdicts import verdict

EVAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "eval_data"
CANARY = Path(tempfile.gettempdir()) / "bootcamp-escape-canary"
CPU_LIMIT_S = 5.0

RUNNING = [
    "__import__('os').system('touch CANARY')",
    "__import__('subprocess').run(['touch', 'CANARY'])",
    "open('CANARY','w').write('x')",
    'open("CANARY","w")',
    'eval(\'open("CANARY","w")\')',
    'exec(\'open("CANARY","w")\')',
    "eval(compile('open(\"CANARY\",\"w\")','','exec'))",
    "exec(chr(111)+chr(112)+chr(101)+chr(110))",
    "eval(input())",
    "breakpoint()",
    "exit()",
    "globals()",
    "vars()",
    "print(x)",
    "open(0)",
    'S(\'open("CANARY","w")\')',
    "S(\"__import__('os').system('touch CANARY')\")",
    'sympify(\'open("CANARY","w")\')',
    'parse_expr(\'open("CANARY","w")\')',
    "Symbol('x').__class__",
    "Symbol('x', cls=open)('CANARY', 'w')",
    "symbols('x', cls=eval)",
    "Function('eval')(x)",
    "Function(open)(x)",
    "lambdify(x, open)(1)",
    'lambdify((), \'open("CANARY","w")\')()',
    "lambda: 0",
    "(lambda: open('CANARY','w'))()",
    "Lambda(x, x)(1)",
    "().__class__.__bases__[0].__subclasses__()",
    "(1).__class__.__mro__",
    "x.__class__.__init__.__globals__",
    "''.__class__",
    "x.func",
    "x.subs(x,1)",
    "x1.real",
    "pi.evalf()",
    "sin(x).diff(x)",
    "(x).name",
    "2 .real",
    "2..real",
    "1.0.hex()",
    "x. func",
    "x\t.\tfunc",
    "getattr(x,'func')",
    "getattr(x,name)",
    "setattr(x,y,1)",
    "type(x)",
    "type('A',(),{})()",
    "'{0.__class__}'.format(x)",
    "'%s' % x",
    'f\'{open("CANARY","w")}\'',
    'f"{x.__class__}"',
    "(y:=open)",
    "[c for c in (1,2)]",
    "{c for c in (1,)}",
    "{x:1}",
    "[x][0]",
    "x[0]",
    "*x",
    "max(*(1,2))",
    "max(**x)",
    "log(x, evaluate=False)",
    "print(end=x)",
    "x if open else y",
    "not x",
    "x and open",
    "x; import os",
    "import os",
    "from os import system",
    "del x",
    "yield x",
    "await x",
    "@x",
    "x@y",
    "`x`",
    "assert 0",
    "raise SystemExit",
    "SystemExit",
    "\U0001d452\U0001d463\U0001d44e\U0001d459(1)",  # eval in mathematical italics
    "\uff45\uff56\uff41\uff4c(1)",
    "op\u0435n(1)",
    "\uff3f\uff3fimport\uff3f\uff3f(1)",
    "_\\_import_\\_('os')",
    "_{_}import_{_}(os)",
    "x\\.\\func",
    "op\\en(0)",
    "e{va}l(0)",
    "x\x00y",
    "1 # \n open(0)",
    "preview(x)",
    "plot(x)",
    "init_printing()",
    "test()",
    "doctest()",
    "source(x)",
    "codegen(x)",
    "factorint(x)",
    "nsolve(x,x,0)",
    "Poly(x)",
    "Matrix(1,1,open)",
    "var(x)",
    "Symbol(x)",
    "Wild(x)",
    "srepr(x)",
    "pycode(x)",
    "radsimp(x)",
    "sum(x,x)",
    "Sum(x,x).doit",
    "Sum(x,(x,1,2)).doit(x)",
    "Sum(x,(x,1,2)).doit().func",
    "Product(x,(x,1,2)).doit()",
    "x.doit()",
    "open.doit()",
    "open(0).doit()",
    "S(open)",
    "S(S.Half)",
    "sympify(open)(0)",
    "simplify(open)",
    "simplify(x,open)",
    "expand(x.func)",
    "limit(x,open,0)",
    "Q.real",
    "S.Half",
    "N.func(x)",
    "N(x).func",
]
"""Texts that would run code, touch an attribute or reach a name beyond formulas."""

EXPLODING = [
    "9^9^9",
    "9**9**9**9",
    "(2+7)^((2+7)^(2+7))",
    "2 * * 99999999",
    "((9!)!)!",
    "9!!!!!!!!!!!!",
    "factorial(10^9)",
    "gamma(99999999)",
    "binomial(10^9,10^8)",
    "1e999999999",
    "1e-99999999",
    "1<<10^9",
    "pow(9,pow(9,99))",
    "N(pi,10^9)",
    "round(1/3,10^9)",
    "sin(exp(exp(9*x)))",
    "floor(exp(exp(20)))",
    "cos(I*cos(I*cos(I*99)))",
    "(1+sqrt(2))^8000",
    "(x+y+z)^100",
    "10^-99*(x+y+z)^99*(a+b+c)^99",
    "exp(x)%1000-exp(x)",
    "diff(exp(exp(x)),x,50)",
    "diff(" * 25 + "exp(exp(x))" + ",x)" * 25,
    "integrate(exp(x^2)*log(sin(x)),x)",
    "integrate(exp(2*x+1)^9*sin(3*x+y)^9,x)",
    "integrate(1/(x^20+x^3+7),x)",
    "expand((a+b+c+d+f)^20)",
    "factor(x^60-y^60)",
    "simplify((1+sqrt(2))^8000)",
    "simplify(" * 30 + "x" + ")" * 30,
    "simplify(" + "+".join(f"1/(sqrt({i})+sqrt(x))" for i in range(2, 12)) + ")",
    "limit(factorial(factorial(k)),k,100)",
    "limit(tan(sin(cos(x)))^x,x,pi)",
    "Sum(factorial(factorial(k)),(k,1,100)).doit()",
    "Sum(1/k,(k,1,10^9)).doit()",
    "Sum(sin(k)/k,(k,1,oo)).doit()",
    "Sum(k^k,(k,1,400)).doit()",
    "exp(log(9)*9^9)",
    "floor(exp(exp(20)))",
    "ln(exp(exp(exp(exp(20)))))",
    "sin(" * 99 + "1" + ")" * 99,
    "-" * 1950 + "1",
    "~" * 100_000,
    "(" * 100_000,
    "(" * 240 + "1" + ")" * 240,
    "9" * 4000,
    "9" * 130_000,
    "a" * 1990,
    "x!" * 990,
    "sin" * 660,
    r"\frac{a}{b}" * 180,
    "x^" * 990 + "2",
    "+".join(f"{i}x^{i}" for i in range(200)),
    "*".join(f"(1+sqrt({i}))" for i in range(2, 150)),
]
"""Texts that are formulas, and would take hours or gigabytes."""

BLOCKS = [
    "{}",
    "[[{}]]",
    "[answer]{}[/answer]",
    "```json\n{}\n```",
    "```python\n{}\n```",
    "```text\n{}\n```",
    r"\boxed{{{}}}",
]
FORMULAS: dict[str, dict[str, str]] = {
    "KorOperationUnicode25a0": {"_answer_sympy": "exp(x) + cos(x)"},
    "KorOperationUnicode25c6": {"correct_answer": "(1 - cos(1))*sin(1)"},
}

PLAIN_SYNTAX = (
    ast.Expression,
    ast.Tuple,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
)
PLAIN_NAMES = {"Symbol", "Function", "Integer", "Float", "Rational", "Number", "S", "pi", "I", "E", "sin", "cos", "exp"}

_FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "builtins.input")
_HARMLESS = {"os.listdir", "os.scandir", "os.putenv", "os.unsetenv"}
"""Imports look into folders, pytest writes the test's name to the environment."""
_watched: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    is_write = event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
    if is_write or (event.startswith(_FORBIDDEN) and event not in _HARMLESS):
        _watched.append(f"{event}{arguments}")


sys.addaudithook(_watch)


@pytest.fixture
def watched() -> Iterator[list[str]]:
    """Collect what Python reports of processes, sockets, files written and the like."""
    global _watched  # noqa: PLW0603 - an audit hook stays for good and can only be told to look away
    _watched = []
    yield _watched
    _watched = None


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the code that sympy evaluates."""
    codes: list[str] = []
    evaluate = sympy.parsing.sympy_parser.eval_expr

    def noted(code: str, *names: Any) -> Any:
        codes.append(code)
        return evaluate(code, *names)

    monkeypatch.setattr(sympy.parsing.sympy_parser, "eval_expr", noted)
    return codes


def is_plain(code: str) -> bool:
    """Whether code is made of numbers, symbols and a handful of functions, by a look of its own at the syntax tree."""
    nodes = list(ast.walk(ast.parse(code.strip(), mode="eval")))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return all(isinstance(node, PLAIN_SYNTAX) for node in nodes) and names <= PLAIN_NAMES


def public_row(data_source: str) -> Any:
    """Read the first public ground truth of a data source."""
    for file in sorted(EVAL_DATA.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            row = json.loads(next(lines))
        if row["data_source"] == data_source:
            return row["ground_truth"]
    return pytest.skip("needs the public data set in ../shared beside the checkout")


@pytest.mark.parametrize("data_source", FORMULAS)
def test_formulas_evaluated(data_source: str, evaluated: list[str]) -> None:
    """A right formula reaches sympy's evaluation: what the next test finds missing there was kept from it."""
    [formula] = FORMULAS[data_source].values()
    assert verdict(data_source, f"[[{formula}]]", FORMULAS[data_source]).score == 1.0
    assert len(evaluated) == 2


@pytest.mark.parametrize("escape", RUNNING)
@pytest.mark.parametrize("data_source", FORMULAS)
def test_escapes_not_evaluated(data_source: str, escape: str, evaluated: list[str], watched: list[str]) -> None:
    """What an escape leaves for sympy to evaluate, if anything, is arithmetic on symbols named like its words."""
    solution = escape.replace("CANARY", str(CANARY))
    assert verdict(data_source, f"[[{solution}]]", FORMULAS[data_source]).score == 0.0
    with contextlib.suppress(Exception):
        symbolic.parsed(solution, symbolic.LENIENT)
    assert [code for code in evaluated if not is_plain(code)] == []
    assert watched == []


@pytest.mark.parametrize("escape", EXPLODING)
@pytest.mark.parametrize("data_source", FORMULAS)
def test_explosions_bounded(data_source: str, escape: str) -> None:
    """What grows beyond measure is refused, or scored wrong, in seconds."""
    start_s = time.process_time()
    got = verdict(data_source, f"[[{escape}]]", FORMULAS[data_source])
    assert (got.score, got.failure) == (0.0, None)
    assert time.process_time() - start_s < CPU_LIMIT_S


@pytest.mark.parametrize("data_source", CATALOG)
def test_nothing_executed(data_source: str, watched: list[str]) -> None:
    """Whatever block an escape stands in, the verdict is a number, in time, and nothing has happened."""
    ground_truth = public_row(data_source)
    verdict(data_source, "", ground_truth)
    watched.clear()
    for escape in RUNNING + EXPLODING:
        for block in BLOCKS:
            start_s = time.process_time()
            got = verdict(data_source, block.format(escape.replace("CANARY", str(CANARY))), ground_truth)
            assert got.failure is None
            assert 0.0 <= (got.score or 0.0) <= 1.0
            assert time.process_time() - start_s < CPU_LIMIT_S, (block, escape[:40])
    assert watched == []
    assert not CANARY.exists()


def test_one_evaluating_parser() -> None:
    """Model output is evaluated at one place: by sympy's parser, behind the filters of `symbolic`."""
    sources = Path(bootcamp_cli.bootcamps.__file__).parent
    evaluating = re.compile(r"(?<!literal_)\beval\(|\bexec\(|\bcompile\(|sympify\(|parse_expr\(")
    calls = [
        (path.name, line.strip())
        for path in sources.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if evaluating.search(line) and "re.compile(" not in line
    ]
    assert [name for name, _ in calls] == ["symbolic.py"], calls
