"""KOR logic, questions whose answer is one letter in double brackets."""

from dataclasses import dataclass
from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_letter


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterChoice:
    """A bootcamp of letters: its methods are the functions that a module supplies.

    `letters` is the character class of what is seen at all, whatever options a question has; `key` names the right
    letter in the ground truth; `padded` says whether whitespace may stand around the letter.
    """

    letters: str
    key: str = "correct_answer"
    padded: bool = False

    def extract_output(self, output: str) -> str | None:
        """Take the last `[[X]]` with one of the letters, in upper case."""
        return last_letter(output, self.letters, padded=self.padded)

    def check(self, solution: str, ground_truth: dict[str, Any]) -> bool:
        """Compare with the stored letter."""
        return bool(solution == ground_truth[self.key])

    def solve(self, ground_truth: dict[str, Any]) -> str | None:
        """Print the stored letter."""
        return f"[[{ground_truth[self.key]}]]"
