"""Generators of grid puzzles."""

from collections import deque
from functools import cache
from itertools import pairwise, permutations, product
from random import Random
from typing import Any

from bootcamp_cli.demo.instances.instance import Instance, spaced

Cell = tuple[int, int]


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
        f"numbers 1 to {size} once; 0 marks an empty cell.\n\n{spaced(puzzle)}\n\n"
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
        f"wall.\n\n{spaced(marks)}\n\nWrite all cells of the way as (row, column), counted from 0, in a fence like "
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
        f"two rows and no two columns are alike.\n\n{spaced(shown)}\n\n"
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
        f"two of them touching, not even at a corner.\n\n{spaced(grid)}\n\n"
        "Write the star of each region as (row, column), counted from 1, in a fence like this:\n"
        "```json\n{'A': [(1, 3)], 'B': [(2, 5)]}\n```"
    )
    return Instance(prompt=prompt, ground_truth={"input_grid": grid})
