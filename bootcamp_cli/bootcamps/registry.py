"""Which bootcamp verifies a data source: a table of the built-in ones, entry points, the upstream package.

Looking one up imports no verifier; `load` does, inside a worker, in tests and in the demo.

Ceilings: some rows of the public evaluation set cannot be solved under the reference's rules. `ceilings.json` lists
them by data source with the reason, either an argument from the scoring rule or an exhaustive search. `rows` are
0-based lines of the public test file whose SHA-256 is `digest`, `max_score` is the highest score that any output can
reach there; `format_defective` rows can be solved, but not in the format that their prompt asks for.
"""

import functools
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from bootcamp_cli.bootcamps.scoring import CheckVerifier, Verifier, own_family
from bootcamp_cli.bootcamps.upstream import (
    BOOTCAMPS,
    Origin,
    find_package,
    load_upstream,
    read_names,
    reference_verifier,
)
from bootcamp_cli.errors import SettingsError, UnknownBootcampError
from bootcamp_cli.types import DATA_SOURCE_PREFIX, BootcampRef, bootcamp_name

ENTRY_POINT_GROUP = "bootcamp_cli.bootcamps"
Mode = Literal["auto", "builtin", "upstream"]

_SUFFIX = bootcamp_name("")
_BASE_CLASS = "Basebootcamp"


class Resolver:
    """Finds bootcamps: built-in ones, then entry points, then the package `internbootcamp`.

    `mode` builtin ignores the package, upstream looks there first. `path` is the directory that holds the package (or
    the package's own directory); without it an installed one is looked for.
    """

    def __init__(self, mode: Mode, path: Path | None) -> None:
        """Remember where to look.

        Raises:
            SettingsError: `path` holds no such package, but the mode needs it.
        """
        self._mode = mode
        self._path = str(path.absolute()) if path is not None else None
        if self._path is not None and mode != "builtin" and find_package(self._path) is None:
            raise SettingsError(
                f"bootcamps_path: no package internbootcamp in {self._path}",
                hint="name the directory that holds internbootcamp/bootcamp/__init__.py",
            )

    def resolve(self, data_source: str) -> BootcampRef | None:
        """Where to load the verifier of this data source from; None where there is none.

        The prefix `bootcamp/` makes no difference.
        """
        data_source = data_source.removeprefix(DATA_SOURCE_PREFIX)
        if self._mode == "upstream" and (ref := self._from_package(data_source)):
            return ref
        if entry := CATALOG.get(data_source):
            fallback = self._from_package(data_source) if self._mode == "auto" else None
            return BootcampRef(data_source=data_source, origin="builtin", target=entry.module, fallback=fallback)
        if target := self._entry_points.get(data_source):
            return BootcampRef(data_source=data_source, origin="entry_point", target=target)
        return self._from_package(data_source) if self._mode == "auto" else None

    def known(self) -> list[BootcampRef]:
        """Every data source that has a verifier, by name, each with the origin that takes precedence."""
        names = {*CATALOG, *self._entry_points}
        if self._mode != "builtin":
            names |= {name.removesuffix(_SUFFIX) for name in self._package_names if name.endswith(_SUFFIX)}
        refs = (self.resolve(name) for name in sorted(names))
        return [ref for ref in refs if ref is not None]

    def _from_package(self, data_source: str) -> BootcampRef | None:
        name = bootcamp_name(data_source)
        origin = self._package_names.get(name)
        if origin is None or name == _BASE_CLASS:
            return None
        target = f"{origin.module}:{origin.attribute}" if origin.module and origin.attribute else name
        return BootcampRef(data_source=data_source, origin="upstream", target=target, path=self._path)

    @cached_property
    def _entry_points(self) -> dict[str, str]:
        """Name -> `module:attribute`; of two distributions with the same name the first on the search path wins."""
        from importlib.metadata import entry_points  # noqa: PLC0415 - 7 ms, wasted where everything is built in

        found: dict[str, str] = {}
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            found.setdefault(entry.name, entry.value)
        return found

    @cached_property
    def _package_names(self) -> dict[str, Origin]:
        package = find_package(self._path)
        return read_names(BOOTCAMPS, package / "bootcamp") if package else {}


class BuiltinBootcamp(Protocol):
    """What the module of a built-in bootcamp provides.

    An ordinary exception from the first two means score 0, as in the reference: bootcamps do not catch what the scoring
    code catches anyway. A module that cannot verify every row also has `unscorable(ground_truth)`, see `CheckVerifier`.
    """

    def extract_output(self, output: str) -> Any | None:
        """Extract the answer from a model's output; None where there is none."""

    def check(self, solution: Any, ground_truth: Any) -> bool | float:
        """Score an extracted answer, leaving the ground truth unchanged."""

    def solve(self, ground_truth: Any) -> str | None:
        """Write an answer that scores 1.0, in the format the prompt asks for; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """Where a built-in bootcamp is: its module, and the family that it belongs to (`grids`, `kor_logic`, ...).

    `is_canonical` says whether the right answer to a question is one value, which is extracted in one form: only then
    can answers to the same question vote (maj@K).
    """

    module: str
    family: str
    is_canonical: bool


_FAMILIES: dict[str, dict[str, str]] = {
    "arithmetic": {
        "Cryptomath": "cryptomath",
        "Game24": "game24",
    },
    "bbeh": {
        "BbehDyckLanguages": "dyck_languages",
        "BbehGeometricShapes": "geometric_shapes",
        "BbehMultistepArithmetic": "multistep_arithmetic",
        "BbehTemporalSequences": "temporal_sequences",
        "BbehWebOfLies": "web_of_lies",
        "BbehWordSorting": "word_sorting",
        "Bbehboardgameqa": "board_game_qa",
        "Bbehbooleanexpressions": "boolean_expressions",
        "Bbehobjectcounting": "object_counting",
        "Bbehobjectproperties": "object_properties",
        "Bbehshuffobject": "shuffled_objects",
    },
    "grids": {
        "Aquarium": "aquarium",
        "Arc": "arc",
        "Arrowmaze": "arrowmaze",
        "Binairo": "binairo",
        "Calcudoku": "calcudoku",
        "Campsite": "campsite",
        "Dominosa": "dominosa",
        "Futoshiki": "futoshiki",
        "Galaxies": "galaxies",
        "Kakurasu": "kakurasu",
        "LightUp": "light_up",
        "Maze": "maze",
        "Minesweeper": "minesweeper",
        "Nonograms": "nonograms",
        "Starbattle": "starbattle",
        "Stitches": "stitches",
        "Sudoku": "sudoku",
        "Tents": "tents",
        "Thermometers": "thermometers",
    },
    "kor_logic": {
        "KorLogicAnalogicalReasoning": "analogical_reasoning",
        "KorLogicCanonicalPropositions": "canonical_propositions",
        "KorLogicCooperativePrinciple": "cooperative_principle",
        "KorLogicDefinitions": "definitions",
        "KorLogicDerivativeReasoningOfPropositionalLogic": "derivative_reasoning",
        "KorLogicDisjunctiveNormalFormAndConjunctiveNormalForm": "normal_forms",
        "KorLogicDynamicLogic": "dynamic_logic",
        "KorLogicEnumerativeInductiveReasoning": "enumerative_induction",
        "KorLogicEpistemicLogic": "epistemic_logic",
        "KorLogicEquivalenceCalculus": "equivalence_calculus",
        "KorLogicFigureOfTheSyllogism": "figure_of_the_syllogism",
        "KorLogicFormalFallacies": "formal_fallacies",
        "KorLogicInductionParadox": "induction_paradox",
        "KorLogicLogicalMethodsForExploringCauseAndEffectRelationships": "causal_methods",
        "KorLogicPredicateLogicFormalization": "predicate_formalization",
        "KorLogicPropositionalLogicConcepts": "proposition_concepts",
        "KorLogicResolution": "resolution",
        "KorLogicSpeechActs": "speech_acts",
        "KorLogicStatisticalReasoning": "statistical_reasoning",
        "KorLogicTruthValueModalPropositions": "modal_propositions",
    },
    "kor_operation": {
        "KorOperationUnicode20ac": "unicode_20ac",
        "KorOperationUnicode2295": "unicode_2295",
        "KorOperationUnicode25a0": "unicode_25a0",
        "KorOperationUnicode25a1": "unicode_25a1",
        "KorOperationUnicode25b3": "unicode_25b3",
        "KorOperationUnicode25bd": "unicode_25bd",
        "KorOperationUnicode25c6": "unicode_25c6",
        "KorOperationUnicode25cb": "unicode_25cb",
        "KorOperationUnicode25ce": "unicode_25ce",
        "KorOperationUnicode25cf": "unicode_25cf",
        "KorOperationUnicode2605": "unicode_2605",
        "KorOperationUnicodeffe0": "unicode_ffe0",
        "KorOperationUnicodeffe1": "unicode_ffe1",
    },
    "kor_puzzle": {
        "KorPuzzle24Points": "twenty_four_points",
        "KorPuzzleArrowMaze": "arrow_maze",
        "KorPuzzleCalcudoko": "calcudoko",
        "KorPuzzleCampsite": "campsite",
        "KorPuzzleConnectWords": "connect_words",
        "KorPuzzleCryptoMath": "crypto_math",
        "KorPuzzleKukurasu": "kukurasu",
        "KorPuzzleLogicPuzzle": "logic_puzzle",
        "KorPuzzleSkyscrapers": "skyscrapers",
        "KorPuzzleWordBrainTeasers": "word_brain_teasers",
        "KorPuzzleWordLadder": "word_ladder",
        "KorPuzzleWordRootsAndAffixes": "word_roots_and_affixes",
        "KorPuzzleWordSearch": "word_search",
        "KorPuzzleWordscapes": "wordscapes",
    },
    "text": {
        "Cipher": "cipher",
    },
}

_CANONICAL = frozenset(
    {
        *("Aquarium", "Arc", "Binairo", "Cipher"),
        *_FAMILIES["bbeh"],
        *("KorLogicAnalogicalReasoning", "KorLogicCooperativePrinciple", "KorLogicDefinitions"),
        *("KorLogicEnumerativeInductiveReasoning", "KorLogicEpistemicLogic", "KorLogicEquivalenceCalculus"),
        *("KorLogicFigureOfTheSyllogism", "KorLogicFormalFallacies", "KorLogicInductionParadox"),
        "KorLogicLogicalMethodsForExploringCauseAndEffectRelationships",
        *("KorLogicPredicateLogicFormalization", "KorLogicPropositionalLogicConcepts", "KorLogicSpeechActs"),
        "KorLogicTruthValueModalPropositions",
        *("KorOperationUnicode20ac", "KorPuzzleWordBrainTeasers", "KorPuzzleWordLadder"),
        *("KorPuzzleWordRootsAndAffixes", "KorPuzzleWordscapes"),
    }
)
"""Where what is extracted is compared with one stored answer.

Not puzzles with several solutions, formulas and numbers that can be written in several ways, or sets in any order.
"""

CATALOG: dict[str, CatalogEntry] = {
    data_source: CatalogEntry(
        module=f"bootcamp_cli.bootcamps.builtin.{family}.{module}",
        family=family,
        is_canonical=data_source in _CANONICAL,
    )
    for family, modules in _FAMILIES.items()
    for data_source, module in modules.items()
}
"""Built-in bootcamps by data source, family by family; a new one is a module and a line above.

`asked_formats.py` may have an entry for it, by which `bootcamp audit` finds more causes of a score of 0.
"""


OTHER_FAMILY = "other"
"""The family of what is in no family of the catalogue."""


def catalog_entry(data_source: str | None) -> CatalogEntry | None:
    """The catalogue's entry of a data source, with the prefix `bootcamp/` or without; None where it is not built in."""
    return None if data_source is None else CATALOG.get(data_source.removeprefix(DATA_SOURCE_PREFIX))


def family_of(data_source: str | None, own: str | None = None) -> str:
    """The family of a data source: the catalogue's, else its `own` name for it, else `other`."""
    entry = catalog_entry(data_source)
    return entry.family if entry else own or OTHER_FAMILY


def load_builtin(data_source: str) -> BuiltinBootcamp:
    """Import the built-in bootcamp of a data source, and no other."""
    try:
        entry = CATALOG[data_source]
    except KeyError:
        raise UnknownBootcampError(
            f"no built-in bootcamp for data_source {data_source!r}",
            hint="`bootcamp bootcamps list` shows those that exist",
        ) from None
    return cast("BuiltinBootcamp", import_module(entry.module))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Highest average score on the public file of a data source: by any output, and by one in the requested format.

    `digest` and `n_rows` are those of the public file, `unwinnable` and `format_defective` list its rows.
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


def load(ref: BootcampRef) -> Verifier:
    """Import the bootcamp and nothing besides what it imports itself.

    Raises:
        Exception: whatever the import raises; TypeError where the object lacks the functions of a bootcamp.
    """
    match ref.origin:
        case "builtin":
            return as_verifier(import_module(ref.target), ref.target)
        case "entry_point":
            return as_verifier(_entry_point(ref.target), ref.target)
        case "upstream":
            return load_upstream(ref)


def as_verifier(bootcamp: Any, target: str) -> Verifier:
    """Wrap a module, class or instance that has `extract_output` and either `check` or `verify_score`."""
    extract_output = getattr(bootcamp, "extract_output", None)
    check = getattr(bootcamp, "check", None)
    if callable(extract_output) and callable(check):
        unscorable = getattr(bootcamp, "unscorable", None)
        return CheckVerifier(
            extract_output=extract_output, check=check, unscorable=unscorable, family=own_family(bootcamp)
        )
    if callable(extract_output) and callable(getattr(bootcamp, "verify_score", None)):
        return reference_verifier(bootcamp)
    raise TypeError(f"{target} must have extract_output and either check or verify_score")


def _entry_point(target: str) -> Any:
    """The object `module:attribute.attribute`; importlib.metadata does the same, but slows down every start."""
    module, _, attributes = target.partition("[")[0].replace(" ", "").partition(":")
    return functools.reduce(getattr, attributes.split(".") if attributes else [], import_module(module))
