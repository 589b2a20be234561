"""KOR puzzle, crypto math: an addition with letters for digits."""

from typing import Any

from bootcamp_cli.bootcamps.builtin.arithmetic.alphametic import find_digits, word_value
from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import int_tokens


def extract_output(output: str) -> dict[str, int] | None:
    """Take the pairs letter=digit of the last `[[...]]` on one line; of equal letters the later one."""
    digits = {}
    for piece in (last_brackets(output) or "").split(","):
        letter, _, number = piece.partition("=")
        match int_tokens(number):
            # any text may stand for a letter, and what is no digit is passed over
            case [digit] if 0 <= digit <= 9:
                digits[letter.strip().upper()] = digit
    return digits or None


def check(solution: dict[str, int], ground_truth: dict[str, Any]) -> bool:
    """Accept every assignment of different digits under which the equation holds."""
    terms, total = _words(ground_truth)
    # letters beyond those of the equation count, too: with a digit in use they spoil a right answer
    if any(solution[word[0]] == 0 for word in (*terms, total)) or len(set(solution.values())) != len(solution):
        return False
    return sum(word_value(term, solution) for term in terms) == word_value(total, solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Search for the digits."""
    terms, total = _words(ground_truth)
    digits = find_digits(terms, total, {word[0] for word in (*terms, total)})
    return None if digits is None else f"[[{','.join(f'{letter}={digit}' for letter, digit in digits.items())}]]"


def _words(ground_truth: dict[str, Any]) -> tuple[list[str], str]:
    left, _, total = ground_truth["equation"].partition("=")
    return left.split("+"), total
