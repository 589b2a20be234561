"""Generators of puzzles with words."""

import string
from collections import deque
from random import Random
from typing import Any

from bootcamp_cli.demo.instances.instance import Instance
from bootcamp_cli.demo.instances.vocabulary import LADDER_WORDS, WORDS


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
