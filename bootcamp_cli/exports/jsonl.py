"""JSON Lines: an object per sample with the columns of frames; ground truth and extracted value are JSON.

Every line is strict JSON in UTF-8.
"""

from typing import BinaryIO

from bootcamp_cli.exports.source import Source, encoded, plain_json


def write_jsonl(source: Source, file: BinaryIO) -> None:
    """Write the samples as JSON Lines in UTF-8; missing values are null, as are NaN and infinities."""
    for row in source.rows():
        for name in ("ground_truth", "extracted_output"):
            row[name] = plain_json(row[name])
        file.write(encoded(row) + b"\n")
