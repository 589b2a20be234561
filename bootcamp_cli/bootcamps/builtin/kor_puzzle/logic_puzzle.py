"""KOR puzzle, logic puzzle: match years, windmills and families."""

from typing import Any

from bootcamp_cli.bootcamps.extraction.blocks import last_brackets
from bootcamp_cli.bootcamps.extraction.values import token_rows


def extract_output(output: str) -> list[list[str]] | None:
    """Take the entries of three words of the last `[[...]]`, between commas."""
    content = last_brackets(output, across_lines=True)
    if content is None:
        return None
    # all other entries are dropped, among them those with a blank in a name
    return [entry for entry in token_rows(content, separator=",") if len(entry) == 3]


def check(solution: list[list[str]], ground_truth: dict[str, Any]) -> bool:
    """Compare each entry with the stored one of its year."""
    # entries may be missing: [[]] is right
    stored = {entry["year"]: [entry["windmill"], entry["family"]] for entry in ground_truth["assignments"]}
    return all(stored.get(int(year)) == names for year, *names in solution)


def solve(ground_truth: dict[str, Any]) -> str | None:
    """Print the stored entries."""
    entries = (f"{entry['year']} {entry['windmill']} {entry['family']}" for entry in ground_truth["assignments"])
    return f"[[{', '.join(entries)}]]"
