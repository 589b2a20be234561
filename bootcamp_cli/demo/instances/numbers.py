"""Generators of puzzles with numbers."""

import string
from random import Random

from bootcamp_cli.demo.instances.instance import Instance, spaced

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
        f"The operation A€B is 2A + 3B. Compute it for\n\nA =\n{spaced(a)}\n\nB =\n{spaced(b)}\n\n"
        "Write the matrix as a tuple of its rows in double brackets: [[((1,2),(3,4))]]"
    )
    return Instance(prompt=prompt, ground_truth={"A": a, "B": b})
