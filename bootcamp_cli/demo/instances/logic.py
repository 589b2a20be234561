"""Generators of logic questions."""

from itertools import combinations
from random import Random
from typing import Any

from bootcamp_cli.demo.instances.instance import Instance

_TERMS: tuple[dict[str, str], ...] = (
    {"term": "kettle", "genus": "vessel with a spout", "maker": "tinsmiths", "use": "boiling water", "part": "kitchen"},
    {"term": "lantern", "genus": "lamp with a case", "maker": "glaziers", "use": "giving light", "part": "street"},
    {"term": "barometer", "genus": "gauge of air", "maker": "Torricelli", "use": "reading pressure", "part": "ship"},
    {"term": "loom", "genus": "frame for threads", "maker": "early weavers", "use": "making cloth", "part": "mill"},
    {"term": "rudder", "genus": "movable blade", "maker": "boatwrights", "use": "steering", "part": "boat"},
    {"term": "anvil", "genus": "block of iron", "maker": "founders", "use": "forging", "part": "smithy"},
)
_INTENSIONAL = {
    "Genus-Differentia": "A {term} is a {genus} that serves in {use}.",
    "Origin": "A {term} is what was first made by {maker}.",
    "Function": "A {term} is what people use for {use}.",
    "Relation": "A {term} is what stands to its {part} as a part to the whole.",
}
_LEXICAL = {
    "Usage": "'{term}' is the word that people say for a {genus}.",
    "Etymology": "'{term}' comes from an old word of {maker}.",
    "Redefinition": "By '{term}' we shall mean, in this report, anything for {use}.",
}
_EXTENSIONAL = {
    "Exhaustive": "The seasons are {0}, {1}, {2} and {3}, and no others.",
    "Partial": "The seasons are, for instance, {0} and {1}.",
}
_QUESTIONS = {"Intensional": _INTENSIONAL, "Lexical": _LEXICAL, "Extensional": _EXTENSIONAL}

Clause = frozenset[str]


def definitions(random: Random) -> Instance:
    """Write a definition of a known type and shuffle the options."""
    category = random.choice(("Intensional", "Intensional", "Lexical", "Extensional"))
    templates = _QUESTIONS[category]
    kind = random.choice(list(templates))
    seasons = random.sample(("spring", "summer", "autumn", "winter"), 4)
    question = templates[kind].format(*seasons, **random.choice(_TERMS))
    labels = random.sample(list(templates), len(templates))
    options = [f"{letter}. {label}" for letter, label in zip("ABCDEF", labels, strict=False)]
    prompt = f"Which type of {category.lower()} definition is this?\n\n{question}\n\n" + "\n".join(options)
    ground_truth = {"question": question, "options": options, "category": category}
    return Instance(
        prompt=f"{prompt}\n\nAnswer with the letter in double brackets, as in [[A]].",
        ground_truth=ground_truth | {"correct_answer": "ABCDEF"[labels.index(kind)]},
    )


def resolution(random: Random) -> Instance:
    """Ask whether two clauses resolve, to what, or how the whole algorithm ends."""
    return random.choice((_can_resolve, _resolvent, _algorithm))(random)


def _can_resolve(random: Random) -> Instance:
    first, second = _clause(random, "pqrs"), _clause(random, "pqrs")
    prompt = (
        f"Can the clauses C1 = {_shown(first)} and C2 = {_shown(second)} be resolved, that is, does one hold a literal "
        "and the other its negation?\nA. Yes\nB. No\nAnswer with the letter in double brackets, as in [[A]]."
    )
    expected = bool(_resolvents(first, second))
    return _question(prompt, "can_resolve", {"C1": sorted(first), "C2": sorted(second), "expected": expected})


def _resolvent(random: Random) -> Instance:
    pivot, *others = random.sample("pqrs", 4)
    # C1 and C2 share no letter but one, so that there is one resolvent
    first, second = _clause(random, others[0]) | {pivot}, _clause(random, "".join(others[1:])) | {_negated(pivot)}
    [result] = _resolvents(first, second)
    prompt = (
        f"What is the resolvent of C1 = {_shown(first)} and C2 = {_shown(second)}?\n"
        "Write its literals with ' ∨ ' in between in double brackets, as in [[p ∨ ¬q]], or [[0]] for the empty clause."
    )
    return _question(
        prompt, "compute_dispel", {"C1": sorted(first), "C2": sorted(second), "expected": _shown(result) or "0"}
    )


def _algorithm(random: Random) -> Instance:
    clauses = [_clause(random, "pqr") for _ in range(random.randint(2, 4))]
    outcome, cycles = _resolved(set(clauses))
    prompt = (
        f"Apply resolution to {' ∧ '.join(f'({_shown(clause)})' for clause in clauses)}. In each cycle all pairs of "
        "clauses are resolved and new clauses added. The end is Implausible after the cycle that yields the empty "
        "clause, and Plausible after the first cycle that yields nothing new.\n"
        "Write the end and the number of cycles, as in [[Plausible;2]]."
    )
    ground_truth = {"cnf": [sorted(clause) for clause in clauses], "expected_output": outcome, "steps": cycles}
    return _question(prompt, "algorithm_output", ground_truth)


def _question(prompt: str, problem_type: str, ground_truth: dict[str, Any]) -> Instance:
    return Instance(prompt=prompt, ground_truth={"problem_type": problem_type, **ground_truth})


def _clause(random: Random, letters: str) -> Clause:
    chosen = random.sample(letters, random.randint(1, min(3, len(letters))))
    return frozenset(random.choice((letter, _negated(letter))) for letter in chosen)


def _negated(literal: str) -> str:
    return literal[1:] if literal.startswith("¬") else f"¬{literal}"


def _shown(clause: Clause) -> str:
    return " ∨ ".join(sorted(clause))


def _resolvents(first: Clause, second: Clause) -> set[Clause]:
    pivots = [literal for literal in first if _negated(literal) in second]
    return {(first - {pivot}) | (second - {_negated(pivot)}) for pivot in pivots}


def _resolved(clauses: set[Clause]) -> tuple[str, int]:
    cycles = 0
    while True:
        cycles += 1
        new = set().union(*(_resolvents(first, second) for first, second in combinations(clauses, 2))) - clauses
        if frozenset() in new:
            return "Implausible", cycles
        if not new:
            return "Plausible", cycles
        clauses = clauses | new
