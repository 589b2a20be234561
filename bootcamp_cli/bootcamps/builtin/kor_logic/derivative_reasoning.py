"""KOR logic, immediate inference: transform a categorical proposition, or name the method that was used."""

import re
from typing import Any

_LETTER = r"\[\[([ABC])\]\]"
_LETTER_OR_QUOTED = r"\[\[([ABC]|\".*?\")\]\]"


def extract_output(output: str) -> str | None:
    """Take the last `[[A]]`, `[[B]]`, `[[C]]` or `[["..."]]` on one line, without its quotation marks."""
    # a sentence counts in quotation marks only, although the prompt asks for [[converted proposition]]
    for line in reversed(output.split("\n")):
        # behind the last closer no quotation ends: searching there for its end at every opener takes quadratic time
        quoted, closer, rest = line.rpartition('"]]')
        if found := re.findall(_LETTER, rest) or re.findall(_LETTER_OR_QUOTED, quoted + closer):
            return str(found[-1]).strip('"')
    return None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored letter, or with the stored sentence but for case, blanks and full stops."""
    match ground_truth["question_type"]:
        case "apply_method":
            return _spelling(solution) == _spelling(ground_truth["correct_answer"])
        case "infer_method":
            return bool(solution.upper() == ground_truth["correct_method"])
        case _:
            return False


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored letter, or the stored sentence in quotation marks."""
    if ground_truth["question_type"] == "apply_method":
        return f'[["{ground_truth["correct_answer"]}"]]'
    return f"[[{ground_truth['correct_method']}]]"


def _spelling(sentence: str) -> str:
    return sentence.lower().replace(" ", "").replace(".", "")
