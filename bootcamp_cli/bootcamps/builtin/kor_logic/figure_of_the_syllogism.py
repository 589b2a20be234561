"""KOR logic, syllogisms: figure and mood."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_match

_PATTERNS = (
    r"(?i)\[{2}\s*([IV]{1,3}\s*;\s*[AEIO]{3})\s*\]{2}",
    r"(?i)\[\s*([IV]{1,3}\s*;\s*[AEIO]{3})\s*\]",
    r"(?i)图形\s*([IV]{1,3}\s*式\s*[AEIO]{3})",
)
_VALID = {
    "I": {"AAA", "EAE", "AII", "EIO"},
    "II": {"AEE", "EAE", "EIO", "AOO"},
    "III": {"AII", "EIO", "IAI", "OAO"},
    "IV": {"AEE", "EIO", "IAI"},
}


def extract_output(output: str) -> str | None:
    """Take the last `[[figure;mood]]` in any case, else `[figure;mood]`, else the same in Chinese words."""
    # the spelling goes before the place: a draft in double brackets wins over a later answer in single ones
    for pattern in _PATTERNS:
        if (found := last_match(output, pattern)) is not None:
            return "".join(found.split()).replace("式", ";").upper()
    return None


def check(solution: str, ground_truth: dict[str, Any]) -> bool:
    """Compare with the stored figure and mood, which must be a valid one."""
    return solution == f"{ground_truth['figure']};{ground_truth['mood']}" and _is_valid(ground_truth)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored figure and mood; None where they are not valid."""
    return f"[[{ground_truth['figure']};{ground_truth['mood']}]]" if _is_valid(ground_truth) else None


def _is_valid(ground_truth: dict[str, Any]) -> bool:
    return ground_truth["mood"] in _VALID.get(ground_truth["figure"], ())
