"""Writing a test dir of generated instances, one file per built-in bootcamp."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from bootcamp_cli.demo.instances import grids, logic, numbers, words
from bootcamp_cli.demo.instances.instance import Instance

GENERATORS: dict[str, Callable[[Random], Instance]] = {
    "Aquarium": grids.aquarium,
    "BbehWordSorting": words.word_sorting,
    "Bbehobjectcounting": numbers.object_counting,
    "Binairo": grids.binairo,
    "Cipher": words.cipher,
    "Cryptomath": numbers.cryptomath,
    "Game24": numbers.game24,
    "KorLogicDefinitions": logic.definitions,
    "KorLogicResolution": logic.resolution,
    "KorOperationUnicode20ac": numbers.weighted_matrix_sum,
    "KorPuzzleWordLadder": words.word_ladder,
    "Maze": grids.maze,
    "Starbattle": grids.starbattle,
    "Sudoku": grids.sudoku,
}
"""One generator per data source; what it makes depends on the state of the random numbers alone."""

_MAX_REPEATS = 1000


def make_test_dir(directory: Path, *, seed: int = 0, rows: int = 8) -> None:
    """Write `{data_source in lower case}.jsonl` with `rows` rows for every generator; the directory is made if need be.

    The same seed gives the same bytes. No prompt occurs twice in the directory, so that a server can tell by the
    prompt which sample it is asked for.
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
    """Generate instances of one bootcamp with different prompts, from a random stream of its own.

    Raises:
        RuntimeError: the generator cannot make so many different ones.
    """
    random = Random(f"{seed} {data_source}")  # noqa: S311 - puzzles, not secrets
    instances: dict[str, Instance] = {}
    repeats = 0
    while len(instances) < rows:
        instance = GENERATORS[data_source](random)
        repeats += instance.prompt in instances
        if repeats > _MAX_REPEATS:
            raise RuntimeError(f"{data_source}: no more than {len(instances)} different instances of {rows} found")
        instances.setdefault(instance.prompt, instance)
    return list(instances.values())
