"""One table for the formats that people read: cells as text, ready to be aligned."""

from dataclasses import dataclass, replace

from bootcamp_cli.report.columns import COLUMNS, Cell, Column, Kind
from bootcamp_cli.report.notes import notes
from bootcamp_cli.report.width import display_width
from bootcamp_cli.results.summary import RunSummary
from bootcamp_cli.visible import visible

TOTAL = "Total Average"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a summary and their total as text; the total's averages are unweighted means, its counts sums.

    All text is safe to print. `notes` are lines that belong below the table.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """The heads of the columns."""
        return tuple(column.title for column in self.columns)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of the widest cell of each column, head and total included, in terminal cells."""
        lines = (self.titles, *self.rows, self.total)
        return tuple(max(map(display_width, cells)) for cells in zip(*lines, strict=True))

    def without(self, index: int) -> "Table":
        """The table without one of its columns."""
        keep = [i for i in range(len(self.columns)) if i != index]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in keep),
            rows=tuple(tuple(row[i] for i in keep) for row in self.rows),
            total=tuple(self.total[i] for i in keep),
        )


def build_table(shown: RunSummary, *, n_all: int) -> Table:
    """The table of a summary, in the order of its rows; `n_all` is the number of rows of the whole run."""
    columns = tuple(column for column in COLUMNS if column.shown(shown))
    label = TOTAL if len(shown.groups) == n_all else "Average of these"
    total = (label, *(cell_text(column.total(shown), column.kind, none="") for column in columns[1:]))
    rows = tuple(tuple(cell_text(column.of(group), column.kind) for column in columns) for group in shown.groups)
    return Table(columns=columns, rows=rows, total=total, notes=notes(shown, n_all=n_all))


def cell_text(cell: Cell, kind: Kind, *, none: str = "-") -> str:
    """A cell as people read it: four decimals for a score, one for a length, thousands apart; `none` for no value."""
    if cell is None:
        return none
    if isinstance(cell, str):
        return visible(cell)
    match kind:
        case "score":
            return f"{cell:.4f}"
        case "length":
            return f"{cell:,.1f}"
        case "count" | "text":
            return f"{cell:,}"
