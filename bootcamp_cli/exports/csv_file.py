"""CSV: a line per sample under the names of the columns of frames, for spreadsheets and quick looks.

Every cell is one visible line, and an apostrophe stands before one that a spreadsheet would run as a formula: JSON
Lines and Parquet have the texts as they are.
"""

import csv
import io
from typing import Any, BinaryIO

from bootcamp_cli.exports.source import Source
from bootcamp_cli.text import as_text, visible


def write_csv(source: Source, file: BinaryIO) -> None:
    """Write the samples as CSV in UTF-8; missing values are empty."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    try:
        for n, batch in enumerate(source.batches()):
            if n == 0:
                writer.writerow(batch)
            writer.writerows(zip(*(map(_cell, values) for values in batch.values()), strict=True))
        text.flush()
    finally:
        text.detach()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return as_text(visible(value))
    return str(value).lower() if isinstance(value, bool) else value
