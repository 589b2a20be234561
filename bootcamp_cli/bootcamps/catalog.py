"""The built-in bootcamps as a table of names: nothing is imported until a row names a data source."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from bootcamp_cli.errors import UnknownBootcampError


class BuiltinBootcamp(Protocol):
    """What the module of a built-in bootcamp supplies.

    An ordinary exception out of the first two means score 0, as the reference has it: bootcamps do not catch what the
    scoring frame catches anyway.
    """

    def extract_output(self, output: str) -> Any | None:
        """Take the answer out of a model's output; None where there is none."""

    def check(self, solution: Any, ground_truth: Any) -> bool | float:
        """Judge an extracted answer; the ground truth stays as it is."""

    def solve(self, ground_truth: Any) -> str | None:
        """Write an answer that scores 1.0, in the format the prompt asks for; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """Where a built-in bootcamp stands: its module, and the family that holds it (`grids`, `kor_logic`, ...)."""

    module: str
    family: str


_FAMILIES: dict[str, dict[str, str]] = {
    "arithmetic": {
        "Cryptomath": "cryptomath",
        "Game24": "game24",
    },
    "bbeh": {
        "BbehWordSorting": "word_sorting",
        "Bbehobjectcounting": "object_counting",
    },
    "grids": {
        "Aquarium": "aquarium",
        "Binairo": "binairo",
        "Maze": "maze",
        "Starbattle": "starbattle",
        "Sudoku": "sudoku",
    },
    "kor_logic": {
        "KorLogicDefinitions": "definitions",
        "KorLogicResolution": "resolution",
    },
    "kor_operation": {
        "KorOperationUnicode20ac": "unicode_20ac",
    },
    "kor_puzzle": {
        "KorPuzzleWordLadder": "word_ladder",
    },
    "text": {
        "Cipher": "cipher",
    },
}

CATALOG: dict[str, CatalogEntry] = {
    data_source: CatalogEntry(module=f"bootcamp_cli.bootcamps.{family}.{module}", family=family)
    for family, modules in _FAMILIES.items()
    for data_source, module in modules.items()
}
"""Built-in bootcamps by data source, family by family; a new one is a module and a line above."""


def load(data_source: str) -> BuiltinBootcamp:
    """Import the built-in bootcamp of a data source, and no other."""
    try:
        entry = CATALOG[data_source]
    except KeyError:
        raise UnknownBootcampError(
            f"no built-in bootcamp for data_source {data_source!r}",
            hint="`bootcamp bootcamps list` shows those there are",
        ) from None
    return cast("BuiltinBootcamp", import_module(entry.module))
