"""KOR puzzle, connect words: words of given lengths from a bag of letters."""

import re
from itertools import product
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import closed_brackets

_WORDS = {
    2: ("BE", "NO", "IN", "TO", "UP"),
    3: ("CAT", "DOG", "BED", "PEN", "CAR", "BAT", "RAT", "MAT", "PAN"),
    4: ("DESK", "BALL", "FISH", "CAKE", "ROAD", "BEAN", "UNIT"),
    5: ("APPLE", "TABLE", "CHAIR"),
}
"""All words that count, by length; of these BALL and APPLE cannot, for a letter that repeats."""


def extract_output(output: str) -> str | None:
    """Take the last `[[...]]` in upper case, if it holds words of A to Z with one whitespace character between two."""
    content = [None, *closed_brackets(output)][-1]
    # in upper case first: the ligature of "fish" becomes letters
    text = (content or "").strip().upper()
    return text if re.fullmatch(r"([A-Z]+\s)*[A-Z]+", text) else None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Accept all words of the list that use up the letters, none twice in a word."""
    words, lengths = solution.split(), ground_truth["word_lengths"]
    if len(words) != len(ground_truth["solution"]) or [len(word) for word in words] != lengths:
        return False
    if any(word not in _WORDS[len(word)] or len(set(word)) != len(word) for word in words):
        return False
    return sorted("".join(words)) == sorted(ground_truth["letters"])


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Try all words of the list."""
    for words in product(*(_WORDS[length] for length in ground_truth["word_lengths"])):
        solution = " ".join(words)
        if check(solution, ground_truth):
            return f"[[{solution}]]"
    return None
