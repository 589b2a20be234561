"""The built-in bootcamps as a table of names: nothing is imported until a row names a data source."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from bootcamp_cli.errors import UnknownBootcampError


class BuiltinBootcamp(Protocol):
    """What the module of a built-in bootcamp supplies.

    An ordinary exception out of the first two means score 0, as the reference has it: bootcamps do not catch what the
    scoring frame catches anyway. A module that cannot judge every row has `unscorable(ground_truth)`, too, see
    `CheckVerifier`.
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
