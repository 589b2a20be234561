r"""What the prompts of the built-in bootcamps ask for: which block, what the stored solution looks like in it.

This is what an audit of wrong answers needs to know, and nothing that decides a score: verifiers do not import it, so
it does not count for their digests. A bootcamp that is not listed is audited by what can be seen without it.

Texts are compared in loose forms, so that `(B)`, `**B**` and `Option B` are the same choice; each bootcamp names the
form in which two right answers look alike and two different ones do not.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bootcamp_cli.bootcamps.extraction.arithmetic import evaluate
from bootcamp_cli.bootcamps.extraction.values import spaced_rows

Loosen = Callable[[str], str]
"""Brings a text into the form in which it is compared."""


@dataclass(frozen=True, slots=True)
class Span:
    """A block in a text: where it starts and ends, delimiters included, and what it holds."""

    start: int
    end: int
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A kind of answer block: what opens and closes it, and how a content is put into one.

    A block that is opened again before it is closed starts at the last opener: what an unclosed mention in the
    reasoning swallows is not part of the answer. `mark` stands in every opener, in lower case or any. `toggles` says
    that opener and closer look alike, as those of a fence, `nests` that the block ends at the brace that balances the
    opener's.
    """

    name: str
    mark: str
    opener: str
    closer: str
    before: str
    after: str
    toggles: bool = False
    nests: bool = False

    def spans(self, text: str) -> list[Span]:
        """The closed blocks from left to right, in linear time."""
        if self.mark not in text.lower():
            return []
        if self.nests:
            return _braced_spans(text, self.opener)
        found: list[Span] = []
        opened: re.Match[str] | None = None
        for match in re.finditer(f"({self.opener})|{self.closer}", text):
            if match[1] is not None and not (self.toggles and opened):
                opened = match
            elif opened:
                found.append(Span(opened.start(), match.end(), text[opened.end() : match.start()]))
                opened = None
        return found

    def unclosed(self, text: str) -> str:
        """What stands behind a last opener that is not closed; nothing where there is none."""
        if self.mark not in text.lower():
            return ""
        opened = None
        for match in re.finditer(f"({self.opener})|{self.closer}", text):
            opened = match if match[1] is not None and not (self.toggles and opened) else None
        return text[opened.end() :] if opened else ""

    def wrapped(self, content: str) -> str:
        """The content in a block of this kind."""
        return f"{self.before}{content}{self.after}"


def _braced_spans(text: str, opener: str) -> list[Span]:
    """The blocks from an opener that ends with `{` to the brace that closes it, the outer one of two."""
    openers = [match.span() for match in re.finditer(opener, text)]
    ends = _matching_braces(text, openers[0][0]) if openers else {}
    found: list[Span] = []
    for start, inner in openers:
        closing = ends.get(inner - 1)
        if closing is not None and (not found or start >= found[-1].end):
            found.append(Span(start, closing + 1, text[inner:closing]))
    return found


def _matching_braces(text: str, start: int) -> dict[int, int]:
    """The position of the closing brace of each opening one."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.compile(r"[{}]").finditer(text, start):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            ends[opened.pop()] = brace.start()
    return ends


TAGS = Block(
    name="[answer]", mark="[answer]", opener=r"\[answer\]", closer=r"\[/answer\]", before="[answer]", after="[/answer]"
)
ANGLE_TAGS = Block(
    name="<answer>", mark="<answer>", opener="<answer>", closer="</answer>", before="<answer>", after="</answer>"
)
BRACKETS = Block(name="[[ ]]", mark="[[", opener=r"\[\[", closer=r"\]\]", before="[[", after="]]")
GRID = Block(name="[[ ], [ ]]", mark="[", opener=r"\[\s*\[", closer=r"\]\s*\]", before="[[", after="]]")
BOXED = Block(
    name=r"\boxed{ }", mark=r"\boxed", opener=r"\\boxed\s*\{", closer=r"\}", before=r"\boxed{", after="}", nests=True
)
JSON_FENCE = Block(name="```json", mark="```json", opener="```json", closer="```", before="```json\n", after="\n```")
TEXT_FENCE = Block(name="```text", mark="```text", opener="```text", closer="```", before="```text\n", after="\n```")
FENCE = Block(name="```", mark="```", opener=r"```[\w-]*", closer="```", before="```\n", after="\n```", toggles=True)
LOOSE_TAGS = Block(
    name="[answer] in another spelling",
    mark="answer",
    opener=r"(?i:[\[<(【{]\s*(?:final[ _]?)?answer\s*[\]>)】}])",
    closer=r"(?i:[\[<(【{]\s*[/\\]\s*(?:final[ _]?)?answer\s*[\]>)】}])",
    before="[answer]",
    after="[/answer]",
)
WIDE_BRACKETS = Block(name="【【 】】", mark="【", opener="【", closer="】", before="【", after="】")

BLOCKS: tuple[Block, ...] = (TAGS, ANGLE_TAGS, LOOSE_TAGS, BRACKETS, BOXED, FENCE, WIDE_BRACKETS)
"""The kinds of blocks in which models put answers, whatever was asked for."""


# Forms of comparison

_APART = re.compile(r"[\s,;|()\[\]{}'\"“”‘’`$、。]+|\*\*|__|&quot;")
_COMMAND = re.compile(r"\\(?:text|mathrm|mathbf|operatorname|boxed)\b|\\[,;:! ]|\\\\")
_TRAILING = " .。!！:：;；,，"


def _plain(text: str) -> str:
    """Full-width characters as ASCII, LaTeX that only changes the look dropped."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _COMMAND.sub(" ", text) if "\\" in text else text


def as_words(text: str) -> str:
    """Words and numbers in lower case with one blank between them: brackets, commas, quotes, layout do not count."""
    return " ".join(_APART.sub(" ", _plain(text)).split()).strip(_TRAILING).casefold()


def as_formula(text: str) -> str:
    """A formula without blanks, quotes and dollars; brackets, signs and letters count."""
    plain = re.sub(r"\\left\b|\\right\b|\\cdot\b", "", _plain(text))
    return re.sub(r"[\s'\"“”‘’`$]+|\*\*(?!\w)|(?<!\w)\*\*", "", plain).strip(_TRAILING)


def as_latex(text: str) -> str:
    r"""A LaTeX formula as `as_formula`, without braces around brackets: `\cos{\left(x \right)}` is `\cos(x)`."""
    return as_formula(text).replace("{(", "(").replace(")}", ")").replace(r"\ln", r"\log").replace("*", "")


_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def as_number(text: str) -> str:
    """The only number of a text, with or without its unit; a text with several, or none, `as_words`."""
    found = _NUMBER.findall(_THOUSANDS.sub("", _plain(text)))
    if len(found) != 1 or len(found[0]) > 30:
        return as_words(text)
    number = found[0].replace("−", "-")
    top, _, bottom = number.partition("/")
    value = float(top) / float(bottom) if bottom and float(bottom) else float(top)
    return f"{value:.12g}"


_CHOICE = re.compile(
    r"(?:(?:option|choice|answer|选项|答案)\W{0,4})?([A-Z])(?:[.:)、]\s?\S.*)?", re.IGNORECASE | re.DOTALL
)


def as_choice(text: str) -> str:
    """The letter of `(B)`, `b.`, `Option B`, `B) because`; anything else `as_words`."""
    bare = _plain(text[:200]).strip(" \t\r\n*_`$'\"()[]{}.:：")
    match = _CHOICE.fullmatch(bare)
    return match[1].upper() if match else as_words(text)


def as_choice_or_formula(text: str) -> str:
    """A letter `as_choice`, anything else `as_formula`."""
    choice = as_choice(text)
    return choice if len(choice) == 1 and choice.isupper() else as_formula(text)


# The table


def _none(_: Any) -> Iterator[str]:
    """Nothing is stored, or it says nothing about the answer."""
    return iter(())


def _never(_: Any) -> bool:
    return False


def _as_is(_: str, __: Any) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFormat:
    """What the prompts of a bootcamp ask for.

    All functions but `loosen` get the row's ground truth; on one that is not of the public form they may raise.

    `solutions` are the contents of the block by which the stored solution can be recognised, none where the row stores
    none or any of several is right. `is_unread` says of an extracted value that nothing was understood, besides None.
    `cannot_be_won` says that no output scores in this row. `is_defective` says that what the prompt asks for is not
    accepted; `accepted` then rewrites the content of a block from the asked form into one that is. `is_lenient` says
    that the verifier accepts so much that a score of 1 is no sign of a right answer.
    """

    block: Block = BRACKETS
    loosen: Loosen = as_words
    solutions: Callable[[Any], Iterator[str]] = _none
    is_unread: Callable[[Any], bool] = _never
    cannot_be_won: Callable[[Any], bool] = _never
    is_defective: Callable[[Any], bool] = _never
    accepted: Callable[[str, Any], Iterator[str]] = _as_is
    is_lenient: bool = False


def _stored(key: str) -> Callable[[Any], Iterator[str]]:
    """The value of a key as text; a list of words or rows with blanks between."""

    def solutions(truth: Any) -> Iterator[str]:
        yield _text(truth[key])

    return solutions


def _text(value: Any) -> str:
    if isinstance(value, list):
        return spaced_rows(value) if all(isinstance(row, list) for row in value) else " ".join(map(_text, value))
    return str(value)


def _is(key: str, *values: str) -> Callable[[Any], bool]:
    """Whether a key of the ground truth has one of these values."""
    return lambda truth: truth.get(key) in values


def _by_type(key: str, **keys: str) -> Callable[[Any], Iterator[str]]:
    """The value of the key that belongs to the type of the question, which `key` tells."""

    def solutions(truth: Any) -> Iterator[str]:
        if (name := keys.get(truth[key])) is not None:
            yield _text(truth[name])

    return solutions


def _is_text(value: Any) -> bool:
    """Where an extraction gives the text of a block as it is, that could not be parsed."""
    return isinstance(value, str)


def _aquarium(truth: Any) -> Iterator[str]:
    yield " ".join(str(clue - 1) for clue in truth["col_clues"])


def _dyck(truth: Any) -> Iterator[str]:
    yield "No" if truth["error_step"] is None else str(truth["error_step"])


def _meetings(truth: Any) -> Iterator[str]:
    yield f"{truth['solution']['max_duration']},{truth['solution']['count']}"


def _sorting(truth: Any) -> Iterator[str]:
    yield _text(truth["first_error_step" if truth["subtask"] == "error_detection" else "sorted_words"])


def _boolean(truth: Any) -> Iterator[str]:
    yield "ABCDE"[truth["answer"]]


def _canonical(truth: Any) -> Iterator[str]:
    match truth["type"]:
        case "formula":
            yield str(truth["correct"])
        case "symbolization":
            yield truth["solution"]
        case "relationship":
            yield " ".join({"*": "A", "x": "B", "@": "C", "%": "D"}[symbol] for symbol in truth["key"])
        case _:
            return


def _normal_forms(truth: Any) -> Iterator[str]:
    yield "".join(truth["correct_options"]) if truth["type"] == "classify" else truth["correct_denote"]


def _dynamic(truth: Any) -> Iterator[str]:
    if truth["type"] == "multiple_choice":
        yield truth["correct"]
    else:
        yield from truth["valid_variants"]


def _no_reachable_variant(truth: Any) -> bool:
    return truth.get("type") == "expression" and all(
        "".join(variant.split()).translate(_SQUARE) != variant for variant in truth["valid_variants"]
    )


_SQUARE = str.maketrans("⟨⟩", "[]")


def _induction(truth: Any) -> Iterator[str]:
    if truth["question_type"] == "choice":
        yield truth["type"]
        return
    is_sample, name = truth["type"] == "A", truth["class"]
    premise = "∧".join(f"P({instance})" for instance in truth["sampled" if is_sample else "instances"])
    yield f"{premise};" + (f"∀e∈{name},P(e)" if is_sample else f"P({name})")


def _one_pair_of_brackets(content: str, _: Any) -> Iterator[str]:
    """`[[a];[b]]`, as several prompts write it: only `[[a;b]]` is read."""
    if "];[" in content:
        yield content.replace("];[", ";")


def _equivalence(truth: Any) -> Iterator[str]:
    match truth["type"]:
        case "equivalence_validation":
            yield "A" if truth["expected"] else "B"
        case "expression_conversion":
            is_swap = truth["target_rule"] == 10
            yield truth["expression"].replace(">", "!").replace("=", "|") if is_swap else truth["expression"]
        case _:
            return


def _syllogism(truth: Any) -> Iterator[str]:
    yield f"{truth['figure']};{truth['mood']}"


def _is_unwinnable_paradox(truth: Any) -> bool:
    expression = truth.get("expression", "")
    is_read = "→" in expression and "∧" in expression and ("⊻" in expression or "矛盾" in expression)
    return truth["type"] == "symbolic" and not is_read


def _formalized(truth: Any) -> Iterator[str]:
    yield ";".join(problem["correct_answer"] for problem in truth["problems"])


def _concepts(truth: Any) -> Iterator[str]:
    key = {
        "components": "correct_answer",
        "proposition_type": "correct_type",
        "relationship_exists": "correct_answers",
        "relationship_type": "correct_relations",
        "truth_value": "correct_values",
    }[truth["problem_type"]]
    yield _text(truth[key])


def _resolution(truth: Any) -> Iterator[str]:
    match truth["problem_type"]:
        case "can_resolve":
            yield "A" if truth["expected"] else "B"
        case "compute_dispel":
            yield truth["expected"]
        case "algorithm_output":
            yield f"{truth['expected_output']};{truth['steps']}"
        case _:
            return


def _statistics(truth: Any) -> Iterator[str]:
    symbol = truth["attribute"]["symbol"]
    match truth["question_type"]:
        case "U_calculation":
            yield "100%"
        case "P_calculation":
            yield f"{truth['k'] / truth['n'] * 100}%"
        case "U_symbolization":
            yield f"U({symbol},{truth['n']})"
        case "P_symbolization":
            yield f"P({symbol},{truth['k']},{truth['n']})"
        case "C_symbolization":
            yield f"C({symbol},{truth['k1']}/{truth['n1']},{truth['k2']}/{truth['n2']})"
        case _:
            return


def _quoted(content: str, truth: Any) -> Iterator[str]:
    if truth["question_type"] == "apply_method":
        yield f'"{content.strip().strip(_QUOTES)}"'


_QUOTES = "'\"“”‘’"


def _with_proposition(content: str, truth: Any) -> Iterator[str]:
    """`G_p ∧ H_Alice_p` with the proposition in words in the place of p."""
    if truth["type"] == "expression":
        proposition = truth["correct_expression"].rpartition("_")[2].rstrip(")")
        yield re.sub(r"_p(?!\w)", lambda _: f"_{proposition}", content)


def _matrix(truth: Any) -> Iterator[str]:
    rows = zip(truth["A"], truth["B"], strict=True)
    yield spaced_rows([[2 * a + 3 * b for a, b in zip(row_a, row_b, strict=True)] for row_a, row_b in rows])


def _complex_numbers(truth: Any) -> Iterator[str]:
    if truth["type"] == "equation":
        yield f"{truth['solution']:g}"
    else:
        yield f"{truth['solution_real']:g}{truth['solution_imag']:+g}i"


def _same_latex(content: str, truth: Any) -> Iterator[str]:
    """The stored formula, where the content is the same one in the LaTeX that people write."""
    if as_latex(content) == as_latex(truth["correct_answer"]):
        yield truth["correct_answer"]


def _is_formula_for_a_fraction(truth: Any) -> bool:
    return not re.fullmatch(r"-?\d+(?:/\d+)?", truth["correct_answer"])


def _near_fraction(content: str, truth: Any) -> Iterator[str]:
    """The stored formula, where the content is a fraction or decimal that rounds to its value."""
    stored = truth["correct_answer"]
    if _is_formula_for_a_fraction(truth) and re.fullmatch(r"\s*-?\d{1,12}(?:\.\d{1,12})?(?:/\d{1,12})?\s*", content):
        value = evaluate(re.sub(r"\bE\b|\be\b", f"{math.e!r}", stored.replace("^", "**")), _FUNCTIONS)
        if math.isclose(evaluate(content.strip()), value, rel_tol=2e-3):
            yield stored


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"sin": math.sin, "cos": math.cos}


def _chain(truth: Any) -> Iterator[str]:
    match truth["type"]:
        case "compute":
            yield str(truth["answer"])
        case "solve_x":
            yield " or ".join(f"{solution:g}" for solution in dict.fromkeys(truth["solutions"]))
        case _:
            return


def _squares(truth: Any) -> Iterator[str]:
    if truth["type"] == "calculation":
        real, imaginary = truth["correct"]
        yield f"{real}{imaginary:+}i"
        yield f"({real}{imaginary:+}i)"


def _subtracts_the_other_way(truth: Any) -> bool:
    return bool(truth.get("x_pos") == "right_scalar" and truth["form"].split()[1] == "-")


def _loses_its_unit(truth: Any) -> bool:
    return bool(truth["type"] == "calculation" and truth["correct"][1])


def _in_parentheses(content: str, truth: Any) -> Iterator[str]:
    if truth["type"] == "calculation":
        yield f"({content.strip()})"


def _integrals(truth: Any) -> Iterator[str]:
    if truth["problem_type"] == "compute":
        yield repr(truth["correct_answer"])
    else:
        yield " or ".join(f"{answer:g}" for answer in truth["correct_answers"])


def _divisors(truth: Any) -> Iterator[str]:
    if truth["type"] != "compute":
        yield " or ".join(map(str, truth["expected"]))


def _logarithms(truth: Any) -> Iterator[str]:
    if truth["type"] == "solve":
        yield str(truth["solution"])
    else:
        yield truth["target"] if truth["is_expressible"] else truth["log_expr"]


def _single_braces(content: str, _: Any) -> Iterator[str]:
    if "{{" in content:
        yield content.replace("{{", "{").replace("}}", "}")


def _has_double_letters(truth: Any) -> bool:
    return any(len(set(word)) < len(word) for word in truth["solution"])


def _assignments(truth: Any) -> Iterator[str]:
    yield ", ".join(f"{entry['year']} {entry['windmill']} {entry['family']}" for entry in truth["assignments"])


def _with_dots(content: str, truth: Any) -> Iterator[str]:
    """A nonogram whose empty cells are blanks."""
    width = len(truth["columns"])
    lines = content.strip("\r\n").split("\n")
    yield "\n".join(line.rstrip().ljust(width).replace(" ", ".") for line in lines)


def _is_unsolvable_cage_puzzle(truth: Any) -> bool:
    return sha256(json.dumps(truth, sort_keys=True).encode()).hexdigest() in _REFUSED_CAGES


_REFUSED_CAGES = frozenset(
    {
        "d4d16db4c402cfd36883c7dac1ea565417f13b99ff1bb17903644e7310d22abd",
        "a84427af4353d3c9fb606409237dfa7fc4a6bb22bec536df1ca2ad2db458cee2",
    }
)
"""Calcudoku puzzles whose only solution the verdict refuses (see `ceilings.json`): digests of their ground truths."""

_LETTER = AskedFormat(loosen=as_choice, solutions=_stored("correct_answer"))
_RESOLUTION = AskedFormat(
    solutions=_resolution,
    is_defective=_is("problem_type", "algorithm_output"),
    accepted=_one_pair_of_brackets,
)

ASKED_FORMATS: Mapping[str, AskedFormat] = {
    # arithmetic
    "Cryptomath": AskedFormat(),
    "Game24": AskedFormat(block=BOXED, loosen=as_formula),
    # bbeh
    "BbehDyckLanguages": AskedFormat(block=TAGS, loosen=as_number, solutions=_dyck),
    "BbehGeometricShapes": AskedFormat(block=BOXED, loosen=as_number, solutions=_stored("ans")),
    "BbehMultistepArithmetic": AskedFormat(block=TAGS, loosen=as_number, solutions=_stored("answer")),
    "BbehTemporalSequences": AskedFormat(block=BOXED, solutions=_meetings, is_unread=lambda value: value == [-1, -1]),
    "BbehWebOfLies": AskedFormat(block=TAGS, solutions=_stored("solution")),
    "BbehWordSorting": AskedFormat(block=TAGS, solutions=_sorting),
    "Bbehboardgameqa": AskedFormat(block=TAGS, solutions=_stored("answer")),
    "Bbehbooleanexpressions": AskedFormat(block=TAGS, loosen=as_choice, solutions=_boolean, is_lenient=True),
    "Bbehobjectcounting": AskedFormat(block=TAGS, loosen=as_number, solutions=_stored("correct_answer")),
    "Bbehobjectproperties": AskedFormat(block=TAGS, loosen=as_number, solutions=_stored("correct_answer")),
    "Bbehshuffobject": AskedFormat(block=ANGLE_TAGS, solutions=_stored("correct_answer")),
    # grids
    "Aquarium": AskedFormat(block=TAGS, solutions=_aquarium),
    "Arc": AskedFormat(block=GRID),
    "Arrowmaze": AskedFormat(block=JSON_FENCE, is_unread=_is_text),
    "Binairo": AskedFormat(block=TAGS, solutions=_stored("solution")),
    "Calcudoku": AskedFormat(cannot_be_won=_is_unsolvable_cage_puzzle),
    "Campsite": AskedFormat(block=JSON_FENCE, is_unread=_is_text),
    "Dominosa": AskedFormat(block=TAGS),
    "Futoshiki": AskedFormat(block=TAGS),
    "Galaxies": AskedFormat(block=TAGS),
    "Kakurasu": AskedFormat(block=TAGS),
    "LightUp": AskedFormat(block=TAGS),
    "Maze": AskedFormat(block=JSON_FENCE, is_unread=_is_text),
    "Minesweeper": AskedFormat(block=TAGS),
    "Nonograms": AskedFormat(block=TAGS, is_defective=lambda _: True, accepted=_with_dots),
    "Starbattle": AskedFormat(block=JSON_FENCE, is_unread=_is_text),
    "Stitches": AskedFormat(block=TAGS),
    "Sudoku": AskedFormat(block=TAGS),
    "Tents": AskedFormat(block=TAGS),
    "Thermometers": AskedFormat(block=TAGS),
    # kor_logic
    "KorLogicAnalogicalReasoning": _LETTER,
    "KorLogicCanonicalPropositions": AskedFormat(solutions=_canonical),
    "KorLogicCooperativePrinciple": AskedFormat(loosen=as_choice, solutions=_stored("correct")),
    "KorLogicDefinitions": _LETTER,
    "KorLogicDerivativeReasoningOfPropositionalLogic": AskedFormat(
        solutions=_by_type("question_type", apply_method="correct_answer", infer_method="correct_method"),
        is_defective=_is("question_type", "apply_method"),
        accepted=_quoted,
    ),
    "KorLogicDisjunctiveNormalFormAndConjunctiveNormalForm": AskedFormat(solutions=_normal_forms),
    "KorLogicDynamicLogic": AskedFormat(
        loosen=as_choice_or_formula, solutions=_dynamic, cannot_be_won=_no_reachable_variant
    ),
    "KorLogicEnumerativeInductiveReasoning": AskedFormat(
        loosen=as_formula, solutions=_induction, accepted=_one_pair_of_brackets
    ),
    "KorLogicEpistemicLogic": AskedFormat(
        loosen=as_choice_or_formula,
        solutions=_by_type("type", multiple_choice="correct_answer", expression="correct_expression"),
        is_defective=_is("type", "expression"),
        accepted=_with_proposition,
    ),
    "KorLogicEquivalenceCalculus": AskedFormat(
        loosen=as_formula, solutions=_equivalence, cannot_be_won=_is("type", "puzzle_solution"), is_lenient=True
    ),
    "KorLogicFigureOfTheSyllogism": AskedFormat(solutions=_syllogism),
    "KorLogicFormalFallacies": _LETTER,
    "KorLogicInductionParadox": AskedFormat(
        loosen=as_choice, solutions=_stored("correct_answer"), cannot_be_won=_is_unwinnable_paradox
    ),
    "KorLogicLogicalMethodsForExploringCauseAndEffectRelationships": AskedFormat(
        loosen=as_choice, solutions=_stored("method")
    ),
    "KorLogicPredicateLogicFormalization": AskedFormat(loosen=as_formula, solutions=_formalized),
    "KorLogicPropositionalLogicConcepts": AskedFormat(solutions=_concepts),
    "KorLogicResolution": _RESOLUTION,
    "KorLogicSpeechActs": _LETTER,
    "KorLogicStatisticalReasoning": AskedFormat(loosen=as_formula, solutions=_statistics),
    "KorLogicTruthValueModalPropositions": AskedFormat(
        loosen=as_choice_or_formula, solutions=_stored("correct_answer")
    ),
    # kor_operation
    "KorOperationUnicode20ac": AskedFormat(solutions=_matrix),
    "KorOperationUnicode2295": AskedFormat(loosen=as_formula, solutions=_complex_numbers),
    "KorOperationUnicode25a0": AskedFormat(loosen=as_formula),
    "KorOperationUnicode25a1": AskedFormat(loosen=as_latex, solutions=_stored("correct_answer"), accepted=_same_latex),
    "KorOperationUnicode25b3": AskedFormat(loosen=as_latex, solutions=_stored("correct_answer"), accepted=_same_latex),
    "KorOperationUnicode25bd": AskedFormat(loosen=as_number, cannot_be_won=lambda truth: not truth["is_numeric"]),
    "KorOperationUnicode25c6": AskedFormat(
        loosen=as_formula,
        solutions=_stored("correct_answer"),
        is_defective=_is_formula_for_a_fraction,
        accepted=_near_fraction,
    ),
    "KorOperationUnicode25cb": AskedFormat(loosen=as_formula, solutions=_chain, cannot_be_won=_is("type", "solve_xy")),
    "KorOperationUnicode25ce": AskedFormat(
        loosen=as_formula,
        solutions=_squares,
        cannot_be_won=_subtracts_the_other_way,
        is_defective=_loses_its_unit,
        accepted=_in_parentheses,
    ),
    "KorOperationUnicode25cf": AskedFormat(loosen=as_number, solutions=_integrals),
    "KorOperationUnicode2605": AskedFormat(solutions=_divisors, cannot_be_won=_is("type", "compute")),
    "KorOperationUnicodeffe0": AskedFormat(loosen=as_formula, solutions=_logarithms),
    "KorOperationUnicodeffe1": AskedFormat(
        solutions=_stored("solution"), is_defective=_is("type", "interval"), accepted=_single_braces
    ),
    # kor_puzzle
    "KorPuzzle24Points": AskedFormat(loosen=as_formula),
    "KorPuzzleArrowMaze": _RESOLUTION,
    "KorPuzzleCalcudoko": AskedFormat(),
    "KorPuzzleCampsite": AskedFormat(),
    "KorPuzzleConnectWords": AskedFormat(solutions=_stored("solution"), cannot_be_won=_has_double_letters),
    "KorPuzzleCryptoMath": AskedFormat(),
    "KorPuzzleKukurasu": AskedFormat(),
    "KorPuzzleLogicPuzzle": AskedFormat(solutions=_assignments, is_lenient=True),
    "KorPuzzleSkyscrapers": AskedFormat(),
    "KorPuzzleWordBrainTeasers": AskedFormat(solutions=_stored("components")),
    "KorPuzzleWordLadder": AskedFormat(loosen=as_number, solutions=_stored("correct_steps")),
    "KorPuzzleWordRootsAndAffixes": AskedFormat(solutions=_stored("affix")),
    "KorPuzzleWordSearch": AskedFormat(),
    "KorPuzzleWordscapes": AskedFormat(solutions=_stored("__solution__")),
    # text
    "Cipher": AskedFormat(block=TEXT_FENCE, solutions=_stored("ground_truth")),
}
"""By data source; one that is missing, built in or not, is audited without this knowledge."""


def cannot_be_won(data_source: str, ground_truth: Any) -> bool:
    """Whether no output scores in this row, as far as is known."""
    asked = ASKED_FORMATS.get(data_source)
    return asked is not None and _answered(asked.cannot_be_won, ground_truth)


def is_defective(data_source: str, ground_truth: Any) -> bool:
    """Whether the row can be won, but not in the format that its prompt asks for, as far as is known."""
    asked = ASKED_FORMATS.get(data_source)
    return asked is not None and _answered(asked.is_defective, ground_truth)


def stored_solutions(asked: AskedFormat, ground_truth: Any) -> frozenset[str]:
    """The stored solutions in the form of comparison; none where the ground truth is not of the public form."""
    try:
        return frozenset(asked.loosen(solution) for solution in asked.solutions(ground_truth)) - {""}
    except Exception:  # noqa: BLE001 - a test file may hold any ground truth under a public name
        return frozenset()


def accepted_forms(asked: AskedFormat, content: str, ground_truth: Any) -> list[str]:
    """The content of a block as the verifier accepts it, where its asked form is refused."""
    try:
        return [form for form in asked.accepted(content, ground_truth) if form != content]
    except Exception:  # noqa: BLE001 - as above
        return []


def _answered(question: Callable[[Any], bool], ground_truth: Any) -> bool:
    try:
        return question(ground_truth)
    except Exception:  # noqa: BLE001 - as above
        return False
