"""Quirks of the reference that the built-in bootcamps of KOR logic keep."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootcamp_cli.bootcamps.builtin.kor_logic import derivative_reasoning, enumerative_induction
from bootcamp_cli.bootcamps.extraction.blocks import last_letter
from bootcamp_cli.bootcamps.registry import load_builtin as load
from tests.bootcamp_verdicts import verdict

PIECES = ["[[", "]]", "[", "]", '"', '"]]', '[["', ";", "\n", " ", "\u3000", "x", "A", "c", "[[B]]", "[[ B ]]"]
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


@settings(deadline=None)
@given(text=texts)
def test_linear_extraction(text: str) -> None:
    """The extractions that avoid quadratic time find what the expressions that define them find."""
    quoted = re.findall(r'\[\[([ABC]|".*?")\]\]', text)
    assert derivative_reasoning.extract_output(text) == (quoted[-1].strip('"') if quoted else None)
    letters = re.findall(r"\[\[([AB])\]\]", text)
    pair = re.search(r"\[\[(.+?);(.+?)\]\]", text)
    expected = letters[-1] if letters else pair and list(pair.groups())
    assert enumerative_induction.extract_output(text) == expected
    padded = re.findall(r"\[\[\s*([A-Ca-c])\s*\]\]", text)
    assert last_letter(text, "A-Ca-c", padded=True) == (padded[-1].upper() if padded else None)


@pytest.mark.parametrize(
    ("output", "seen_by"),
    [
        ("[[B]]", "analogy cooperation causes fallacies paradox speech"),
        (r"\boxed{[[[B]]]} [[maybe A]] [[Z]]", "analogy cooperation causes fallacies paradox speech"),
        ("[[b]]", "cooperation causes paradox speech"),
        ("[[\u3000B\n]]", "causes"),
        ("[[B]] [[C]]", "analogy"),
        ("[[B]] [[D]]", "analogy cooperation paradox"),
        ("[[B]] [[E]]", "analogy cooperation paradox speech"),
        ("[[B]] [[J]]", "analogy cooperation causes paradox speech"),
        ("[[B.]] [B] [[\uff22]]", ""),
    ],
)
def test_letters(output: str, seen_by: str) -> None:
    """Each bootcamp sees letters of its own; what it does not see replaces nothing."""
    data_sources = {
        "analogy": ("KorLogicAnalogicalReasoning", {"correct_answer": "B"}),
        "cooperation": ("KorLogicCooperativePrinciple", {"correct": "B"}),
        "causes": ("KorLogicLogicalMethodsForExploringCauseAndEffectRelationships", {"method": "B"}),
        "fallacies": ("KorLogicFormalFallacies", {"correct_answer": "B"}),
        "paradox": ("KorLogicInductionParadox", {"correct_answer": "B", **PARADOX}),
        "speech": ("KorLogicSpeechActs", {"correct_answer": "B"}),
    }
    right = {name for name, (source, truth) in data_sources.items() if verdict(source, output, truth).score == 1.0}
    assert right == set(seen_by.split())


PARADOX = {"type": "example", "phenomenon": "x", "hypotheses": ["y", "z"], "contradiction": "not both"}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (PARADOX, 1.0),
        (PARADOX | {"hypotheses": ["y"]}, 0.0),
        ({"type": "symbolic", "expression": "(p → r) ∧ (q → r) ∧ (p ⊻ q)"}, 1.0),
        ({"type": "symbolic", "expression": "(p → r) ∧ (q → r), p与q矛盾"}, 1.0),
        ({"type": "symbolic", "expression": "r ⇒ (p ∨ q), 其中p与q矛盾"}, 0.0),
    ],
)
def test_induction_paradox(question: dict[str, Any], expected: float) -> None:
    """A question of another form than expected cannot be won, and is not solved."""
    ground_truth = {"correct_answer": "A", **question}
    assert verdict("KorLogicInductionParadox", "[[A]]", ground_truth).score == expected
    assert (load("KorLogicInductionParadox").solve(ground_truth) is not None) == bool(expected)


APPLY = {"question_type": "apply_method", "correct_answer": "No owls are non-birds"}
INFER = {"question_type": "infer_method", "correct_method": "B"}
CLASSIFY = {"type": "classify", "correct_options": ["C", "D"]}
DENOTE = {"type": "denote", "correct_denote": "M0 ∧ M3"}
SAMPLE = {"question_type": "symbolic", "type": "A", "instances": ["e1", "e2"], "sampled": ["e2", "e1"], "class": "鸟"}
COMPLETE = SAMPLE | {"type": "B"}
LOOP = {"type": "expression", "valid_variants": ["(φ ∨ [a]φ)", "(φ∨[a]φ)"]}
SEQUENCE = {"type": "expression", "valid_variants": ["[a][b]φ"]}
UNREACHABLE = {"type": "expression", "valid_variants": ["(φ ∨ ψ)", "⟨a⟩φ"]}
RELATIONS = {"type": "relationship", "key": ["@", "x"]}
SYMBOLS = {"type": "symbolization", "solution": "‽p ∧ §¬q"}
FORMULA = {"type": "formula", "correct": 7}
SYLLOGISM = {"figure": "I", "mood": "AII"}
PREDICATES = {"problems": [{"correct_answer": "Ax(F(x)⇒G(x))"}, {"correct_answer": "F(a)"}]}
BLANKS = {"problem_type": "truth_value", "correct_values": ["true", "false"]}
PERCENTAGE = {"question_type": "P_calculation", "attribute": {"symbol": "K"}, "k": 1, "n": 3}
SHARE = PERCENTAGE | {"question_type": "P_symbolization"}
RULE_10 = {"type": "expression_conversion", "expression": "(p > q) = r", "target_rule": 10}
BELIEF = {"type": "expression", "correct_expression": "G_雪是白的∧H_Ann_雪是白的"}


@pytest.mark.parametrize(
    ("name", "ground_truth", "output", "expected"),
    [
        ("DerivativeReasoningOfPropositionalLogic", APPLY, '[["no OWLS are non-birds."]]', 1.0),
        ("DerivativeReasoningOfPropositionalLogic", APPLY, "[[No owls are non-birds]]", 0.0),
        ("DerivativeReasoningOfPropositionalLogic", APPLY, '[["No owls are non-birds"]] by [[A]]', 0.0),
        ("DerivativeReasoningOfPropositionalLogic", INFER, '[["b"]]', 1.0),
        ("DerivativeReasoningOfPropositionalLogic", INFER, "[[b]]", 0.0),
        ("DisjunctiveNormalFormAndConjunctiveNormalForm", CLASSIFY, "[[dCc]]", 1.0),
        ("DisjunctiveNormalFormAndConjunctiveNormalForm", CLASSIFY, "[[C,D]]", 0.0),
        ("DisjunctiveNormalFormAndConjunctiveNormalForm", DENOTE, "[[m 3∨m0]]", 1.0),
        ("DisjunctiveNormalFormAndConjunctiveNormalForm", DENOTE, "[[M0∧M3∧M3]]", 0.0),
        ("DynamicLogic", LOOP, "[[( φ ∨ ⟨a]φ )]]", 1.0),
        ("DynamicLogic", LOOP, "[[φ∨[a]φ]]", 0.0),
        ("DynamicLogic", SEQUENCE, "[[[a][b]φ]]", 1.0),
        ("DynamicLogic", UNREACHABLE, "[[(φ ∨ ψ)]]", 0.0),
        ("DynamicLogic", UNREACHABLE, "[[⟨a⟩φ]]", 0.0),
        ("DynamicLogic", {"type": "multiple_choice", "correct": "K"}, "[[ k ]]", 1.0),
        ("EnumerativeInductiveReasoning", SAMPLE, "[[P(e2) ∧ P(e1);∀e∈鸟, P(e)]]", 1.0),
        ("EnumerativeInductiveReasoning", SAMPLE, "[[P(e1)∧P(e2);∀e∈鸟,P(e)]]", 0.0),
        ("EnumerativeInductiveReasoning", SAMPLE, "[[P(e2)∧P(e1)];[∀e∈鸟,P(e)]]", 0.0),
        ("EnumerativeInductiveReasoning", COMPLETE, "[[P(e1)∧P(e2);P(鸟)]] not [[x;y]]", 1.0),
        ("EnumerativeInductiveReasoning", COMPLETE, "[[P(e1)∧P(e2);P(鸟)]] [[B]]", 0.0),
        ("EnumerativeInductiveReasoning", {"question_type": "choice", "type": "B"}, "[[B]] [[x;y]]", 1.0),
        ("EpistemicLogic", BELIEF, "[[G_雪是白的 ∧ H_Ann_雪是白的]]", 1.0),
        ("EpistemicLogic", BELIEF, "[[G_p ∧ H_Ann_p]]", 0.0),
        ("EquivalenceCalculus", RULE_10, "[[(p ! q) | r]]", 1.0),
        ("EquivalenceCalculus", RULE_10, "[[ (p ! q) | r]]", 0.0),
        ("EquivalenceCalculus", RULE_10 | {"target_rule": 12}, "[[(p > q) = r]] [[]]", 1.0),
        ("EquivalenceCalculus", {"type": "equivalence_validation", "expected": False}, "[[a]]", 1.0),
        ("EquivalenceCalculus", {"type": "equivalence_validation", "expected": False}, "B", 0.0),
        ("EquivalenceCalculus", {"type": "equivalence_validation", "expected": True}, "[[A ]]", 0.0),
        ("EquivalenceCalculus", {"type": "puzzle_solution", "city": "Rome"}, "[[Rome]]", 0.0),
        ("CanonicalPropositions", RELATIONS, "[[ c ;\nB]]", 1.0),
        ("CanonicalPropositions", RELATIONS, "[[B;C]]", 0.0),
        ("CanonicalPropositions", SYMBOLS, "[[§ ¬Q∧‽p]]", 1.0),
        ("CanonicalPropositions", SYMBOLS, "[[‽a ∧ §¬b]]", 0.0),
        ("CanonicalPropositions", FORMULA, "[[2, not -7.0]]", 1.0),
        ("CanonicalPropositions", FORMULA, "[[07]]", 0.0),
        ("FigureOfTheSyllogism", SYLLOGISM, "[[[ı;\naii ]]", 1.0),
        ("FigureOfTheSyllogism", SYLLOGISM, "[[I;AII] ] 图形II式AOO", 1.0),
        ("FigureOfTheSyllogism", SYLLOGISM, "图形 i 式 aiix", 1.0),
        ("FigureOfTheSyllogism", SYLLOGISM, "[[II;AOO]] no, [I;AII]", 0.0),
        ("FigureOfTheSyllogism", SYLLOGISM | {"figure": "II"}, "[[II;AII]]", 0.0),
        ("PredicateLogicFormalization", PREDICATES, "[[;ax( f(x)⇒g(x) );;\nF(a);]]", 1.0),
        ("PredicateLogicFormalization", PREDICATES, "[[Ax(F(x)→G(x));F(a)]]", 0.0),
        ("PredicateLogicFormalization", PREDICATES, "[[F(a);Ax(F(x)⇒G(x))]]", 0.0),
        ("PropositionalLogicConcepts", BLANKS, "[[ true ;\nfalse]] [[]]", 1.0),
        ("PropositionalLogicConcepts", BLANKS, "[[True;False]]", 0.0),
        ("PropositionalLogicConcepts", BLANKS, "[[true;false;]]", 0.0),
        ("PropositionalLogicConcepts", {"problem_type": "other"}, "[[true]]", 0.0),
        ("StatisticalReasoning", PERCENTAGE, "[[%33.333 3330%%]]", 1.0),
        ("StatisticalReasoning", PERCENTAGE, "[[33.33%]]", 0.0),
        ("StatisticalReasoning", PERCENTAGE, "[[1/3]]", 0.0),
        ("StatisticalReasoning", PERCENTAGE, "[[nan]]", 0.0),
        ("StatisticalReasoning", SHARE, "[[P (K, 1,\t3)]]", 1.0),
        ("StatisticalReasoning", SHARE, "[[P(K,3,1)]]", 0.0),
        ("TruthValueModalPropositions", {"type": "symbolization", "correct_answer": "#!q"}, "[[# !q]]", 1.0),
        ("TruthValueModalPropositions", {"type": "symbolization", "correct_answer": "#!q"}, "[[#!Q]]", 0.0),
        ("TruthValueModalPropositions", {"type": "relationship", "correct_answer": "D"}, "[[ d ]]", 1.0),
        ("TruthValueModalPropositions", {"type": "relationship", "correct_answer": "D"}, "[[D]] [[A/B/C/D]]", 0.0),
        ("TruthValueModalPropositions", {"type": "formula", "correct_answer": 5}, "[[5]]", 1.0),
        ("TruthValueModalPropositions", {"type": "formula", "correct_answer": 5}, "[[05]]", 0.0),
    ],
)
def test_quirks(name: str, ground_truth: dict[str, Any], output: str, expected: float) -> None:
    """What an answer may look like differs from bootcamp to bootcamp, and is not always what the prompt asks for."""
    assert verdict(f"KorLogic{name}", output, ground_truth).score == expected
