"""Levenshtein distance with unit costs, fast enough for an answer of 128 kB."""


def edit_distance(pattern: str, text: str) -> int:
    """Count the insertions, deletions and substitutions that turn `pattern` into `text`.

    Bit-parallel: a column of the usual table is kept as the differences between neighbouring rows, +1 in one integer
    and -1 in another, and a character of `text` costs a dozen integer operations whatever the length of `pattern`
    (Myers 1999, in the form of Hyyrö 2001).
    """
    if not pattern:
        return len(text)
    rows = (1 << len(pattern)) - 1
    last_row = 1 << (len(pattern) - 1)
    occurrences: dict[str, int] = {}
    for row, character in enumerate(pattern):
        occurrences[character] = occurrences.get(character, 0) | 1 << row
    distance, rising, falling = len(pattern), rows, 0
    for character in text:
        equal = occurrences.get(character, 0)
        diagonal = (((equal & rising) + rising) ^ rising) | equal
        above = falling | rows & ~(diagonal | rising)
        below = rising & diagonal
        distance += bool(above & last_row) - bool(below & last_row)
        above, below = above << 1 | 1, below << 1
        vertical = equal | falling
        rising = (below | ~(vertical | above)) & rows
        falling = above & vertical & rows
    return distance
