"""Rows below their titles, as plain text in the width of a terminal and as Markdown."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bootcamp_cli.reports.forms import escaped_markdown
from bootcamp_cli.reports.table import display_width
from bootcamp_cli.text import shortened

_LEAST_NAME = 16


class Grid(NamedTuple):
    """Rows below their titles; the first `n_texts` columns are text, the others are numbers.

    Columns that `spare` names may be left out, in this order.
    """

    titles: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    spare: tuple[str, ...] = ()
    n_texts: int = 1

    def without(self, title: str) -> "Grid":
        """The grid without one of its columns."""
        at = self.titles.index(title)
        n_texts = self.n_texts - (at < self.n_texts)
        return Grid(_cut(self.titles, at), [_cut(row, at) for row in self.rows], self.spare, n_texts)

    @property
    def widths(self) -> list[int]:
        """The width of the widest cell of each column, title included, in terminal cells."""
        return [max(map(display_width, cells)) for cells in zip(self.titles, *self.rows, strict=True)]

    @property
    def width(self) -> int:
        """The width of the whole in terminal cells."""
        return sum(self.widths) + 2 * (len(self.titles) - 1)

    def fitted(self, width: int | None) -> "Grid":
        """The grid with the columns that fit, its names cut where even these do not."""
        grid = self
        for title in self.spare:
            if grid.width <= (width or sys.maxsize):
                break
            grid = grid.without(title)
        over = grid.width - (width or sys.maxsize)
        if over <= 0:
            return grid
        most = max(grid.widths[0] - over, _LEAST_NAME)
        return grid._replace(rows=[(shortened(row[0], most), *row[1:]) for row in grid.rows])

    def plain(self) -> Iterator[str]:
        """Lines of text: texts aligned left, numbers aligned right."""
        widths = self.widths
        for row in (self.titles, *self.rows):
            blanks = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
            cells = (
                cell + blank if at < self.n_texts else blank + cell
                for at, (cell, blank) in enumerate(zip(row, blanks, strict=True))
            )
            yield "  ".join(cells).rstrip()

    def markdown(self) -> Iterator[str]:
        """The lines of a Markdown table."""
        rules = ("---" if at < self.n_texts else "---:" for at in range(len(self.titles)))
        yield f"| {' | '.join(self.titles)} |"
        yield f"| {' | '.join(rules)} |"
        for row in self.rows:
            yield f"| {' | '.join(map(escaped_markdown, row))} |"


def _cut(cells: tuple[str, ...], at: int) -> tuple[str, ...]:
    return (*cells[:at], *cells[at + 1 :])
