"""Generated test data for the demo and the tests: a test dir with instances of built-in bootcamps of every kind."""

import json
import string
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise, permutations, product
from pathlib import Path
from random import Random
from typing import Any

from bootcamp_cli.errors import SettingsError

Cell = tuple[int, int]
Clause = frozenset[str]

_MAX_REPEATS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A puzzle: the prompt as a model gets it, and the ground truth with the keys of the public data."""

    prompt: str
    ground_truth: dict[str, Any]


def make_test_dir(directory: Path, *, seed: int = 0, rows: int = 8) -> None:
    """Write `{data_source in lower case}.jsonl` with `rows` rows for every generator; creates the directory if needed.

    The same seed gives the same bytes. No prompt occurs twice in the directory, so that a server can tell from the
    prompt which sample is requested.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for data_source in GENERATORS:
        lines = [
            json.dumps(
                {"data_source": data_source, "prompt": instance.prompt, "ground_truth": instance.ground_truth},
                ensure_ascii=False,
            )
            for instance in make_instances(data_source, seed=seed, rows=rows)
        ]
        text = "".join(f"{line}\n" for line in lines)
        (directory / f"{data_source.lower()}.jsonl").write_text(text, encoding="utf-8", newline="\n")


def make_instances(data_source: str, *, seed: int = 0, rows: int = 8) -> list[Instance]:
    """Generate instances of one bootcamp with different prompts, from its own random stream.

    Raises:
        SettingsError: the generator cannot make that many different ones.
    """
    random = Random(f"{seed} {data_source}")  # noqa: S311 - puzzles, not secrets
    instances: dict[str, Instance] = {}
    repeats = 0
    while len(instances) < rows:
        instance = GENERATORS[data_source](random)
        repeats += instance.prompt in instances
        if repeats > _MAX_REPEATS:
            raise SettingsError(
                f"rows: no more than {len(instances)} different instances of {data_source}, {rows} wanted"
            )
        instances.setdefault(instance.prompt, instance)
    return list(instances.values())


def sudoku(random: Random) -> Instance:
    """Shuffle a regular full grid and clear about half of it."""
    box = random.choice((2, 3, 3))
    size = box * box
    rows, columns = _shuffled_lines(random, box), _shuffled_lines(random, box)
    symbols = random.sample(range(1, size + 1), size)
    puzzle = [[symbols[(box * (r % box) + r // box + c) % size] for c in columns] for r in rows]
    for cell in random.sample(range(size * size), size * size // 2):
        puzzle[cell // size][cell % size] = 0
    prompt = (
        f"Complete this {size}x{size} Sudoku. Every row, every column and every {box}x{box} box holds each of the "
        f"numbers 1 to {size} once; 0 marks an empty cell.\n\n{_spaced(puzzle)}\n\n"
        "Write the full grid, numbers separated by blanks, between tags:\n[answer]\n1 2 ...\n[/answer]"
    )
    return Instance(
        prompt=prompt, ground_truth={"puzzle": puzzle, "size": size, "region_rows": box, "region_cols": box}
    )


def _shuffled_lines(random: Random, box: int) -> list[int]:
    bands = random.sample(range(box), box)
    return [band * box + line for band in bands for line in random.sample(range(box), box)]


def maze(random: Random) -> Instance:
    """Scatter walls until a way from corner to corner is left."""
    size = random.randint(6, 10)
    path: list[Cell] = []
    grid: list[list[int]] = []
    while not path:
        grid = [[int(random.random() < 0.35) for _ in range(size)] for _ in range(size)]
        grid[0][0] = grid[-1][-1] = 0
        path = _shortest_path(grid)
    marks = [["W" if wall else "P" for wall in row] for row in grid]
    marks[0][0], marks[-1][-1] = "S", "E"
    prompt = (
        "Find a way through this maze from S to E, up, down, left or right, one cell at a time. P is a passage, W a "
        f"wall.\n\n{_spaced(marks)}\n\nWrite all cells of the way as (row, column), counted from 0, in a fence like "
        "this:\n```json\n[(0, 0), (0, 1), (1, 1)]\n```"
    )
    ground_truth: dict[str, Any] = {"grid": grid, "start_pos": [0, 0], "end_pos": [size - 1, size - 1]}
    ground_truth |= {"solution_path": [list(cell) for cell in path], "difficulty": 3, "seed": None}
    return Instance(prompt=prompt, ground_truth=ground_truth)


def _shortest_path(grid: list[list[int]]) -> list[Cell]:
    """Search breadth first from the upper left to the lower right cell; an empty list where walls are between."""
    last = len(grid) - 1
    paths: dict[Cell, list[Cell]] = {(0, 0): [(0, 0)]}
    queue = deque(paths)
    while queue:
        cell = queue.popleft()
        for neighbour in _neighbours(cell, len(grid)):
            if neighbour not in paths and grid[neighbour[0]][neighbour[1]] == 0:
                paths[neighbour] = [*paths[cell], neighbour]
                queue.append(neighbour)
    return paths.get((last, last), [])


def _neighbours(cell: Cell, size: int) -> list[Cell]:
    row, column = cell
    around = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
    return [(r, c) for r, c in around if 0 <= r < size and 0 <= c < size]


def aquarium(random: Random) -> Instance:
    """Fill columns to random levels and count."""
    height, width = random.randint(4, 7), random.randint(3, 6)
    levels = [random.randrange(height) for _ in range(width)]
    row_clues = [sum(level >= row for level in levels) for row in range(height)]
    col_clues = [level + 1 for level in levels]
    prompt = (
        f"An aquarium has {width} tanks side by side, each one column wide and {height} rows high. Filled cells per "
        f"row, from the bottom: {row_clues}. Filled cells per column, from the left: {col_clues}.\n"
        "Write the water level of each column, which is the number of its highest filled row counted from 0 at the "
        "bottom, separated by blanks, in tags such as [answer]2 1 0[/answer]."
    )
    regions = [list(range(width)) for _ in range(height)]
    return Instance(prompt=prompt, ground_truth={"regions": regions, "row_clues": row_clues, "col_clues": col_clues})


def binairo(random: Random) -> Instance:
    """Clear cells of a full 4x4 grid as long as one solution is left."""
    solution = random.choice(_binairo_grids())
    clues = {(row, column) for row in range(4) for column in range(4)}
    for cell in random.sample(sorted(clues), 16):
        if _n_matching(solution, clues - {cell}) == 1:
            clues.remove(cell)
    puzzle = [[solution[r][c] if (r, c) in clues else None for c in range(4)] for r in range(4)]
    shown = [["_" if cell is None else cell for cell in row] for row in puzzle]
    prompt = (
        "Fill this grid with 0 and 1. Every row and column has two of each, never three equal digits in a line, and no "
        f"two rows and no two columns are alike.\n\n{_spaced(shown)}\n\n"
        "Write the full grid between tags:\n[answer]\n0 1 ...\n[/answer]"
    )
    return Instance(prompt=prompt, ground_truth={"puzzle": puzzle, "solution": [list(row) for row in solution]})


@cache
def _binairo_grids() -> tuple[tuple[tuple[int, ...], ...], ...]:
    # of four cells with two of each digit no three in a line are equal
    lines = [line for line in product((0, 1), repeat=4) if sum(line) == 2]
    return tuple(
        grid
        for grid in permutations(lines, 4)
        if all(sum(column) == 2 for column in zip(*grid, strict=True)) and len(set(zip(*grid, strict=True))) == 4
    )


def _n_matching(solution: tuple[tuple[int, ...], ...], clues: set[Cell]) -> int:
    return sum(all(grid[r][c] == solution[r][c] for r, c in clues) for grid in _binairo_grids())


def starbattle(random: Random) -> Instance:
    """Set the stars first, then grow a region around each."""
    size = random.choice((5, 6))
    columns = random.sample(range(size), size)
    while any(abs(a - b) < 2 for a, b in pairwise(columns)):
        random.shuffle(columns)
    letters = random.sample("ABCDEF"[:size], size)
    regions: dict[Cell, str] = {(row, column): letters[row] for row, column in enumerate(columns)}
    while len(regions) < size * size:
        cell = random.choice(list(regions))
        for neighbour in random.sample(around := _neighbours(cell, size), len(around)):
            regions.setdefault(neighbour, regions[cell])
    grid = [[regions[row, column] for column in range(size)] for row in range(size)]
    prompt = (
        f"Place {size} stars on this board: one in every row, in every column and in every region of equal letters, no "
        f"two of them touching, not even at a corner.\n\n{_spaced(grid)}\n\n"
        "Write the star of each region as (row, column), counted from 1, in a fence like this:\n"
        "```json\n{'A': [(1, 3)], 'B': [(2, 5)]}\n```"
    )
    return Instance(prompt=prompt, ground_truth={"input_grid": grid})


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


_INVENTORY = {
    "fruits": ("apples", "cherries", "figs", "lychees", "pears"),
    "instruments": ("banjos", "cellos", "drums", "flutes", "harps"),
    "vehicles": ("bicycles", "canoes", "scooters", "sledges", "vans"),
    "tools": ("axes", "files", "hammers", "pliers", "saws"),
}
_OWNERS = ("I have", "My aunt has", "My cousin has", "My friend has", "My neighbour has")


def game24(random: Random) -> Instance:
    """Combine random digits to a small number, which is then the target."""
    numbers: list[int] = []
    target = -1
    while not 0 <= target <= 31:
        numbers = [random.randrange(10) for _ in range(random.randint(4, 6))]
        values = list(numbers)
        while len(values) > 1:
            a, b = (values.pop(random.randrange(len(values))) for _ in range(2))
            values.append(random.choice((a + b, a - b, a * b)))
        target = values[0]
    puzzle = " ".join(str(number) for number in sorted(numbers))
    prompt = (
        f"Use each of the numbers {puzzle} exactly once, with +, -, *, / and parentheses, to reach {target}. "
        "Write the expression alone, without an equals sign, as in \\boxed{(1+2)*3-4}."
    )
    return Instance(prompt=prompt, ground_truth={"puzzle": puzzle, "target": target})


def cryptomath(random: Random) -> Instance:
    """Add two numbers and put a letter for each of their three to five different digits."""
    terms: list[str] = []
    digits: list[str] = []
    while not 3 <= len(digits) <= 5:
        a, b = random.randint(10, 999), random.randint(10, 999)
        terms = [str(a), str(b), str(a + b)]
        digits = list(dict.fromkeys("".join(terms)))
    letters = random.sample(string.ascii_uppercase, len(digits))
    code = str.maketrans("".join(digits), "".join(letters))
    left, other, right = (term.translate(code) for term in terms)
    prompt = (
        f"Every letter stands for a digit of its own, and no number begins with 0: {left}+{other}={right}\n"
        "Find the digits and write them like this: [[A=1,B=2,...]]"
    )
    ground_truth = {
        "left_terms": [left, other],
        "right_term": right,
        "leading_letters": list(dict.fromkeys(word[0] for word in (left, other, right))),
        "all_letters": letters,
    }
    return Instance(prompt=prompt, ground_truth=ground_truth)


def object_counting(random: Random) -> Instance:
    """Hand out things of all kinds and ask for two of them."""
    categories = random.sample(sorted(_INVENTORY), 2)
    operation = random.choice(("sum", "difference"))
    sums = dict.fromkeys(_INVENTORY, 0)
    items = []
    for _ in range(random.randint(8, 14)):
        category, count = random.choice(list(_INVENTORY)), random.randint(11, 990)
        sums[category] += count
        items.append(f"{random.choice(_OWNERS)} {count} {random.choice(_INVENTORY[category])}.")
    first, second = (sums[category] for category in categories)
    correct_answer = first + second if operation == "sum" else abs(first - second)
    prompt = (
        f"Count all {categories[0]} and all {categories[1]} in this inventory, whoever has them, and give the absolute "
        f"{operation} of the two counts.\n\n" + "\n".join(items) + "\n\nWrite the number in [answer] [/answer] tags."
    )
    ground_truth = {"items": items, "categories": categories, "operation": operation}
    return Instance(
        prompt=prompt, ground_truth=ground_truth | {"correct_answer": correct_answer, "_sums": [first, second]}
    )


def weighted_matrix_sum(random: Random) -> Instance:
    """Draw two matrices of one shape."""
    height, width = random.choice(((2, 2), (2, 3), (3, 3)))
    a, b = ([[random.randint(-20, 20) for _ in range(width)] for _ in range(height)] for _ in range(2))
    prompt = (
        f"The operation A€B is 2A + 3B. Compute it for\n\nA =\n{_spaced(a)}\n\nB =\n{_spaced(b)}\n\n"
        "Write the matrix as a tuple of its rows in double brackets: [[((1,2),(3,4))]]"
    )
    return Instance(prompt=prompt, ground_truth={"A": a, "B": b})


_WORDS = """
acorn amber anchor badger barley basil beacon birch bramble breeze canyon cedar cinder clover cobalt copper
coral dapple delta ember falcon fennel fjord garnet ginger glacier harbor hazel heron hollow indigo island
ivory jasper juniper kestrel lagoon lantern laurel linden lupin maple marble meadow nectar nettle ochre orchid
otter pebble pepper quarry quartz raven reed saffron sage thicket thistle timber tulip umber valley velvet
walnut willow
"""
_LADDER_WORDS = """
bad bag bat bed beg bet bid big bin bit bog box bud bug bun but cab can cap car cat cob cod cog con cop cot
cub cud cup cut dad dam den did dig dim din dip dog dot dub dug dun fan fat fin fit fix fog fox fun gab gap
gas gem get gum gun had ham hat hem hen hid him hip his hit hog hop hot hub hug hum hut jab jam jet jig job
jog jot jug lab lad lag lap led leg let lid lip lit log lot mad man map mat men met mob mop mud mug nap net
nip nod not nun nut pad pan pat peg pen pet pig pin pit pod pop pot pub pug pun rag ram ran rap rat red rib
rid rig rim rip rob rod rot rub rug run sad sag sap sat set sip sit sob sum sun tab tag tan tap tar ten tin
tip ton top tub tug van vat vet wag web wed wet wig win wit
"""

WORDS = tuple(_WORDS.split())
"""For sorting and ciphers: lower case, no two alike, none a part of an instruction."""

LADDER_WORDS = tuple(_LADDER_WORDS.split())
"""Three letters each, many of them one letter apart."""


def cipher(random: Random) -> Instance:
    """Encode two or three words by one of four classic ciphers, or ask for the way back."""
    text = "".join(random.sample(WORDS, random.randint(2, 3))).upper()
    name = random.choice(("Caesar", "Atbash", "Vigenere", "ASCII"))
    extra_args: dict[str, Any] = {}
    encoded: str | list[int]
    match name:
        case "Caesar":
            extra_args = {"shift": random.randint(1, 25)}
            rule = f"every letter moves {extra_args['shift']} places on in the alphabet, with A behind Z"
            encoded = _shifted(text, [extra_args["shift"]])
        case "Atbash":
            rule = "every letter is replaced by its mirror image in the alphabet: A by Z, B by Y, and so on"
            encoded = text.translate(str.maketrans(string.ascii_uppercase, string.ascii_uppercase[::-1]))
        case "Vigenere":
            extra_args = {"key": random.choice(WORDS).upper()}
            rule = (
                f"every letter moves on by the place in the alphabet (A = 0) of the key's letters {extra_args['key']}"
            )
            encoded = _shifted(text, [ord(letter) - ord("A") for letter in extra_args["key"]])
        case _:
            rule = "every letter is replaced by its ASCII code, in a list such as [72, 73]"
            encoded = [ord(letter) for letter in text]
    decoding = random.random() < 0.5
    verb, given, expected = ("decode", encoded, text) if decoding else ("encode", text, encoded)
    prompt = (
        f"In the {name} cipher {rule}.\n{verb.capitalize()} this: {given}\n"
        "Write the result alone, without blanks of your own, in a fence like this:\n```text\nRESULT\n```"
    )
    ground_truth = {
        "id": random.randrange(10**6),
        "source_filename": f"demo_{verb}_{name}_en.jsonl",
        "cipher_name": name,
        "input": given,
        "extra_args": extra_args,
        "output": f"{given} -> {expected}",
        "ground_truth": expected,
    }
    return Instance(prompt=prompt, ground_truth=ground_truth)


def _shifted(text: str, shifts: list[int]) -> str:
    places = [ord(letter) - ord("A") + shifts[index % len(shifts)] for index, letter in enumerate(text)]
    return "".join(string.ascii_uppercase[place % 26] for place in places)


def word_sorting(random: Random) -> Instance:
    """Sort words by a usual or shuffled alphabet; in half of the cases ask for the mistake in a sorting trace."""
    custom_order = random.sample(string.ascii_lowercase, 26) if random.random() < 0.5 else None
    mode = random.choice(("normal", "reverse"))
    subtask = random.choice(("error_detection", "pure_sort"))
    order = "".join(custom_order or string.ascii_lowercase)
    words = random.sample(WORDS, random.randint(6, 9))
    result = sorted(words, key=lambda word: [order.index(letter) for letter in word[:: 1 if mode == "normal" else -1]])
    side = "from the left" if mode == "normal" else "from the right end of the words"
    question = f"Sort these words: {', '.join(words)}\nThe alphabet is {order}, and letters are compared {side}.\n"
    thoughts: list[str] = []
    first_error_step: int | str = "No"
    if subtask == "error_detection":
        first_error_step = random.randint(1, len(words) - 1)
        result[first_error_step - 1 : first_error_step + 1] = reversed(
            result[first_error_step - 1 : first_error_step + 1]
        )
        thoughts = [f"Word {n} of the sorted list is {word}." for n, word in enumerate(result, 1)]
        trace = "\n".join(f"Thought {number}: {thought}" for number, thought in enumerate(thoughts, 1))
        question += f"{trace}\nWhich is the first wrong thought? Write its number, or No, in [answer] [/answer] tags."
    else:
        question += "Write them with commas in between in [answer] [/answer] tags."
    ground_truth = {
        "thoughts": thoughts,
        "first_error_step": first_error_step,
        "sorted_words": result,
        "words": words,
        "subtask": subtask,
        "mode": mode,
        "sort_order": "custom_sorting" if custom_order else "normal_order",
        "custom_order": custom_order,
    }
    return Instance(prompt=question, ground_truth=ground_truth)


def word_ladder(random: Random) -> Instance:
    """Pick two words that are at least two changes apart within a part of the list, which the prompt gives."""
    steps: dict[str, int] = {}
    allowed: list[str] = []
    while max(steps.values(), default=0) < 2:
        allowed = sorted(random.sample(LADDER_WORDS, 40))
        steps = _distances(random.choice(allowed), allowed)
    start_word = next(iter(steps))
    end_word = random.choice([word for word, distance in steps.items() if distance >= 2])
    prompt = (
        f"Turn {start_word.upper()} into {end_word.upper()} by changing one letter at a time; every word on the way is "
        f"one of these: {' '.join(allowed)}\nWhat is the least number of changes? Write it as in [[3]]."
    )
    return Instance(
        prompt=prompt,
        ground_truth={"start_word": start_word, "end_word": end_word, "correct_steps": steps[end_word]},
    )


def _distances(start: str, allowed: list[str]) -> dict[str, int]:
    """Count the changes from `start`, which comes first, to every word that can be reached."""
    steps = {start: 0}
    queue = deque(steps)
    while queue:
        word = queue.popleft()
        for other in allowed:
            if other not in steps and sum(a != b for a, b in zip(word, other, strict=True)) == 1:
                steps[other] = steps[word] + 1
                queue.append(other)
    return steps


def _spaced(rows: list[list[Any]]) -> str:
    """Print a grid as a prompt shows it: one row to a line, cells between blanks."""
    return "\n".join(" ".join(str(cell) for cell in row) for row in rows)


GENERATORS: dict[str, Callable[[Random], Instance]] = {
    "Aquarium": aquarium,
    "BbehWordSorting": word_sorting,
    "Bbehobjectcounting": object_counting,
    "Binairo": binairo,
    "Cipher": cipher,
    "Cryptomath": cryptomath,
    "Game24": game24,
    "KorLogicDefinitions": definitions,
    "KorLogicResolution": resolution,
    "KorOperationUnicode20ac": weighted_matrix_sum,
    "KorPuzzleWordLadder": word_ladder,
    "Maze": maze,
    "Starbattle": starbattle,
    "Sudoku": sudoku,
}
"""One generator per data source; what it makes depends only on the state of the random numbers."""
