"""Quirks of the reference that the KOR operations keep."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.registry import load_builtin as load
from tests.bootcamp_verdicts import verdict

COMPLEX = {"type": "compute", "solution_real": 0.21, "solution_imag": -4}
UNKNOWN = {"type": "equation", "solution": 0.6}
EXPRESSION = {"problem_type": "expression", "correct_answer": r"2 x + \cos{\left(x \right)}"}
EVALUATE = {"problem_type": "evaluate", "correct_answer": 2.0}
LATEX = {"answer_format": "latex", "correct_answer": r"\frac{5}{2 x}"}
DECIMALS = {"answer_format": "float", "correct_answer": "3.00"}
NUMERIC = {"is_numeric": True, "precision": 2, "expected_num": 2.01}
SYMBOLIC = {"is_numeric": False, "precision": 2, "expected_num": None, "expected_str": "e^{x} + 4"}
DERIVATIVE = {"_answer_sympy": "3*x**2 + exp(x) + sqrt(2)*cos(x + pi/4)"}
INTEGRAL = {"correct_answer": "(-1 + E)*(-E + e^(2))"}
SINES = {"correct_answer": "(-sin(2) + sin(3))*(cos(2) - cos(3))"}
STORED = SINES["correct_answer"]
CHAIN = {"type": "compute", "answer": 45}
ROOTS = {"type": "solve_x", "solutions": [-1.6666666666666667, 1]}
DOUBLE_ROOT = {"type": "solve_x", "solutions": [-5, -5.0]}
NESTED = {"type": "nested_solve", "equation": "4○(X○1) = 91", "A": 4, "B": 1, "params": [1, 3], "solution": -4}
PARAMETERS = {"type": "solve_xy", "solution": [2, -2]}
SQUARES = {"type": "calculation", "correct": [48, 14]}
SQUARES_EQUATION = {
    "type": "equation",
    "form": "3×(X◎2) - (1◎2)",
    "x_pos": "right_scalar",
    "params": [2, 1, 2, 3, "-"],
    "target": [18, 32],
}
AREA = {"problem_type": "compute", "correct_answer": 55 / 3}
BOUNDS = {"problem_type": "solve", "correct_answers": [-4.0, 4.0]}
DIVISORS = {"type": "equation_type1", "expected": [-5, -1, 1, 5]}
SQUARE_DIFFERENCE = {"type": "compute", "expected": 25}
LOGARITHMS = {"type": "compute", "is_expressible": True, "target": "17/4"}
LOG_FORM = {"type": "compute", "is_expressible": False, "log_expr": r"\log_{3}{5} + \log_{5}{3}"}
POWER = {"type": "solve", "solution": 147}
FINITE = {"type": "finite", "solution": [2, 11, 12]}
INTERVAL = {"type": "interval", "solution": "{x | x ≤ -3 or x ≥ 3}"}

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "2295",
        COMPLEX,
        ["0.2055 - 4 i", "(.21-4J)", "0.21-4.004i"],
        ["-4i+0.21", "0.21+-4i", "0.21−4i", "21/100-4i", ""],
    ),
    ("2295", UNKNOWN, ["0.604", "6e-1", "\uff10.6"], ["3/5", "X=0.6", "nan"]),
    (
        "25a1",
        EXPRESSION,
        [r" 2 x + \cos{\left(x \right)} "],
        [r"2x+\cos{\left(x \right)}", r"\cos{\left(x \right)} + 2 x"],
    ),
    ("25a1", EVALUATE, ["2", "+2.00004", "1.9999"], ["2.0001", "4/2", "inf"]),
    ("25b3", LATEX, [r"\frac {5}" + "\n{2*x}", r"**\frac{5}{2\cdot x}**"], [r"\dfrac{5}{2x}", r"$\frac{5}{2x}$"]),
    ("25b3", DECIMALS, ["3 . 00"], ["3", "+3.00", "3.\t00"]),
    ("25bd", NUMERIC, ["2.006", "2.0149"], ["2.005", "2.02", "≈2.01", "nan"]),
    ("25bd", SYMBOLIC, [], ["e^{x} + 4", "None"]),
    (
        "25a0",
        DERIVATIVE,
        [
            r"3x^{2}+\exp(x)+\cos(x)-\sin(x)",
            "3x2x/2+E^x+cos(x)-sin(x)",
            "exp(x)-sin(x)+3.0x^2+cos(x)#!",
            "diff(x^3+exp(x)+sin(x)+cos(x),x)",
            r"3x^2+\exp(x)+2!\cos(x)/2-\sin(x)\\",
            "3x^2+e*exp(x)/e+cos(x)-sin(x)+f(x)-f(x)",
        ],
        [
            r"3x^2+e^x+\cos x-\sin x",
            r"\frac{6x^2}{2}+\exp(x)+\cos(x)-\sin(x)",
            "3x^2+exp(x)+cos(x)-sin(x)+1e-20",
            "x=x",
            "",
            "oo",
        ],
    ),
    (
        "25c6",
        INTEGRAL,
        ["e*(e-1)^2", "(E-1)\n**2 · E", "e**3-2*e^2+e+x-x"],
        ["exp(3)-2*exp(2)+exp(1)", "8.025", "(e-1)(e^2-e)", "e(e-1)^2", "Rational(1,2)", "True", "1,", "x<y"],
    ),
    (
        "25a0",
        DERIVATIVE,
        [
            "Sum(x^k/factorial(k),(k,0,oo)).doit()+3x^2+sqrt(2)cos(x+pi/4)",
            "Derivative(x^3+exp(x),x).doit()+sqrt(2)cos(x+pi/4)",
            "limit((exp(x+h)-exp(x))/h,h,0)+Sum(6k,(k,1,3)).doit()x^2/12+sqrt(2)cos(x+pi/4)",
            "factor(3x^2)+S(1)*exp(x)+sqrt(2)expand(cos(x+pi/4))",
            "+".join(["exp(x)-sin(x)+cos(x)+3x^2"] * 70) + "-69" + "(exp(x)-sin(x)+cos(x)+3x^2)",
        ],
        ["Sum(x^k/factorial(k),(k,0,oo))+3x^2", "Sum(x,(x,1,2)).doit(deep=False)", "x.doit()"],
    ),
    (
        "25c6",
        SINES,
        [
            *(f"{name}({STORED})" for name in ("expand", "simplify", "factor", "together", "cancel")),
            *(f"{name}({STORED})" for name in ("trigsimp", "nsimplify", "sympify")),
            f"limit(t*{STORED},t,1)",
            f"integrate({STORED},(t,0,1))",
            f"ln(exp({STORED}))",
            f"exp(ln({STORED}))",
            f"exp(exp({STORED}))-exp(exp({STORED}))+{STORED}",
            "(" * 95 + STORED + ")" * 95,
            "+".join([STORED] * 45) + f"-44*{STORED}",
        ],
        [f"S({STORED})", f"Sum({STORED},(k,1,1)).doit()", f"expand({STORED},deep=True)", f"({STORED}).evalf()"],
    ),
    ("25cb", CHAIN, ["45", "[045]", "\uff14\uff15"], ["90/2", "45.0", " 45 ", "45 or 45", r"\sqrt{2025}"]),
    (
        "25cb",
        ROOTS,
        ["1 or -5/3", "1  or  1"],
        ["1", "1 or 2", "1\tor\t-5/3", "1 or -5/0", "-5/3 or 1 or 1", "1 or -1.67"],
    ),
    ("25cb", DOUBLE_ROOT, ["-5", "-10/2"], ["-5 or -5"]),
    ("25cb", NESTED, ["-4", "-4]] [[x=y"], ["-8/2", "4", "-4]] [[1 or 2", "x=1,y=2]] [[-4"]),
    ("25cb", PARAMETERS, [], ["x=2,y=-2"]),
    ("25ce", SQUARES, ["(48+14i)", "( 48.9 + 14.9 I)", "(48+14j)ii"], ["48+14i", "((48+14i))", "(14i+48)", "48", ""]),
    ("25ce", SQUARES_EQUATION, [], ["3", "-3", "3.0", "x=3"]),
    (
        "25cf",
        AREA,
        ["55/3", "sorry or 55 / 3", "18.3333333"],
        ["55/3 or 55/3", "18.3333", r"\frac{55}{3}", "1/2/3", "1/0", "nan"],
    ),
    ("25cf", BOUNDS, ["4 or -4", "-4.0000001 or 4 or 4or x"], ["4", "±4", "4 OR -4"]),
    (
        "2605",
        DIVISORS,
        ["1or-1or5or-5", "5 or +1 or b or -1 or -0_5"],
        ["1 or 5 or -1", "1 or 1 or 5 or -1 or -5", "1,-1,5,-5"],
    ),
    ("2605", SQUARE_DIFFERENCE, [], ["25"]),
    (
        "ffe0",
        LOGARITHMS,
        [" 34/8 ", "4.25", "425e-2", "+4_2.5e-1"],
        ["4.2500001", "17 / 4", r"\frac{17}{4}", "17/0", "-17/-4"],
    ),
    ("ffe0", LOGARITHMS, [], ["1e999999999", "17/4e0", "9" * 5000, "1e" + "9" * 5000]),
    ("ffe0", LOG_FORM, [r"\log_{3}{5}+\log_{5}{3}"], [r"\log_{5}{3} + \log_{3}{5}", r"\log_{3}5 + \log_{5}3"]),
    ("ffe0", POWER, ["0147", " 1_47 "], ["147.0", "X=147"]),
    (
        "ffe1",
        FINITE,
        ["{2, 12 11}", "02,\n\uff11\uff11,12,12", "}12}11}2"],
        ["(2,11,12)", "2;11;12", "2, 11, 12.", "2,11,12,²"],
    ),
    (
        "ffe1",
        INTERVAL,
        ["{X|x=<-3 OR x=>3}"],
        ["{x | x <= -3 or x >= 3}", "{{x | x ≤ -3 or x ≥ 3}}", "{x | x ≥ 3 or x ≤ -3}"],
    ),
]


@pytest.mark.parametrize(("code", "ground_truth", "right", "wrong"), CASES)
def test_quirks(code: str, ground_truth: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    """Each answer between double brackets scores as in the reference."""
    scores = {
        answer: verdict(f"KorOperationUnicode{code}", f"[[{answer}]]", ground_truth).score for answer in right + wrong
    }
    assert scores == dict.fromkeys(right, 1.0) | dict.fromkeys(wrong, 0.0)


@pytest.mark.parametrize(
    ("code", "output", "extracted"),
    [
        ("2295", "[[1]] [[ 3 + 4 i ]] [[\n]]", "3+4i"),
        ("2295", "[[]]", ""),
        ("25a0", "[[2\nx]]", "2x"),
        ("25b3", "[[a\n[[b]]", "a\n[[b"),
        ("25c6", "[[1\n+ 1]] [[1", "1 + 1"),
        ("25cb", "[[x = 1 , y=-2]] [[3 or 4]] [[5]]", "x=1,y=-2"),
        ("25cb", "[[3 or s?q]] [[5]]", "3 or s?q"),
        ("25cb", r"[[-1/2]] [[\sqrt{2}]] [[ 5 ]] [[+5]]", r"\sqrt{2}"),
        ("25ce", "[[[ 12 ]]] [[]]", "12"),
        ("25cf", "[[1 or 2/4 or x/y or for 3]]", [1.0, 0.5, 3.0]),
        ("25cf", "[[2.5.]]", None),
        ("2605", "[[0 or b=1 or 1]]", [0, 1]),
        ("ffe0", "[[ 2 ]]", " 2 "),
    ],
)
def test_extraction(code: str, output: str, extracted: object) -> None:
    """The last block counts as its bootcamp defines it."""
    assert verdict(f"KorOperationUnicode{code}", output, {}).extracted == extracted


@pytest.mark.parametrize(("code", "ground_truth"), [(code, ground_truth) for code, ground_truth, *_ in CASES])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_answers(code: str, ground_truth: dict[str, Any], data: st.DataObject) -> None:
    """However a right answer is damaged, the score is 0 or 1 and the ground truth stays."""
    before = repr(ground_truth)
    output = load(f"KorOperationUnicode{code}").solve(ground_truth) or "[[25 or x=1]]"
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(output)))
        inserted = data.draw(
            st.sampled_from([*"[]()!.^*/-=#xeIi9 \n,", "or", "**", "1e", "\ud800", "\0"]) | st.text(max_size=2)
        )
        output = output[:place] + inserted + output[place + data.draw(st.integers(0, 2)) :]
    got = verdict(f"KorOperationUnicode{code}", output, ground_truth)
    assert (got.failure, got.score in {0.0, 1.0}, repr(ground_truth)) == (None, True, before)


def test_answers_that_sympy_compares() -> None:
    """To load and solve the bootcamps that need sympy does not import it."""
    code = (
        "import sys; from bootcamp_cli.bootcamps.registry import load_builtin as load; "
        "load('KorOperationUnicode25a0').solve({'_answer_sympy': 'x'}); "
        "load('KorOperationUnicode25c6').solve({'correct_answer': '1'}); "
        "sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
