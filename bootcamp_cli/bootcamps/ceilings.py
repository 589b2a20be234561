"""How high a score can be: some rows of the public evaluation set cannot be won under the reference's rules.

`ceilings.json` lists them by data source with the reason, which is an argument from the verdict's rule or an exhaustive
search. `rows` are 0-based lines of the public test file whose SHA-256 is `digest`, `max_score` is the highest score
that any output can reach there; `format_defective` rows can be won, but not in the format that their prompt asks for.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Highest average score on the public file of a data source: by any output, and by one in the asked format.

    `digest` and `n_rows` are those of the public file, `unwinnable` and `format_defective` its rows.
    """

    digest: str
    n_rows: int
    any_output: float
    asked_format: float
    unwinnable: frozenset[int]
    format_defective: frozenset[int]
    reasons: tuple[str, ...]


@cache
def ceilings() -> dict[str, Ceiling]:
    """The ceilings of the 80 public data sources."""
    text = files("bootcamp_cli.bootcamps").joinpath("ceilings.json").read_text(encoding="utf-8")
    return {name: _ceiling(entry) for name, entry in json.loads(text).items()}


@cache
def ceilings_by_digest() -> dict[tuple[str, int], float]:
    """The ceiling by any output, by digest and row count of the public test file."""
    return {(ceiling.digest, ceiling.n_rows): ceiling.any_output for ceiling in ceilings().values()}


def _ceiling(entry: dict[str, Any]) -> Ceiling:
    n_rows = entry["n_rows"]
    unwinnable, defective = entry.get("unwinnable", []), entry.get("format_defective", [])
    reachable = n_rows - sum(len(group["rows"]) * (1 - group["max_score"]) for group in unwinnable)
    defective_rows = frozenset(row for group in defective for row in group["rows"])
    return Ceiling(
        digest=entry["digest"],
        n_rows=n_rows,
        any_output=reachable / n_rows,
        asked_format=(reachable - len(defective_rows)) / n_rows,
        unwinnable=frozenset(row for group in unwinnable for row in group["rows"]),
        format_defective=defective_rows,
        reasons=tuple(group["reason"] for group in (*unwinnable, *defective)),
    )
