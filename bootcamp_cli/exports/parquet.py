"""Parquet: the columns of frames with their types, for pandas, DuckDB, Polars and Spark.

Ids are texts, as a column has one type; ground truths and extracted values are JSON texts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from bootcamp_cli.exports.source import Source, encoded
from bootcamp_cli.text import encodable

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_GROUP = 50_000
_BATCHES_PER_GROUP = 32


def write_parquet(source: Source, file: BinaryIO) -> None:
    """Write the samples as Parquet, compressed by zstd, in row groups of about 32 MB of details."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    from bootcamp_cli.analysis.frames import SAMPLE_COLUMNS  # noqa: PLC0415 - pandas, which --help does not need

    types: Mapping[str, pa.DataType] = {
        "category": pa.string(),
        "string": pa.string(),
        "id": pa.string(),
        "int64": pa.int64(),
        "Int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
    }
    schema = pa.schema([(column.name, types[column.dtype]) for column in SAMPLE_COLUMNS.values()])
    repeated = [column.name for column in SAMPLE_COLUMNS.values() if column.dtype == "category"]
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeated) as writer:
        group: list[pa.RecordBatch] = []
        for batch in source.batches():
            batch["id"] = [str(encoded(value), "utf-8") if type(value) is not str else value for value in batch["id"]]
            arrays = [_array(values, schema.field(name).type) for name, values in batch.items()]
            group.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            if len(group) == _BATCHES_PER_GROUP:
                writer.write_table(pa.Table.from_batches(group), row_group_size=_ROWS_PER_GROUP)
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group), row_group_size=_ROWS_PER_GROUP)


def _array(values: list[Any], kind: "pa.DataType") -> "pa.Array[Any]":
    import pyarrow as pa  # noqa: PLC0415 - an extra

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([encodable(value) if isinstance(value, str) else value for value in values], kind)
