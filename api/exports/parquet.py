"""Parquet, by pyarrow, which is imported only when such a file is asked for."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from api.exports.columns import Column, Kind, json_text

DOCUMENTS_MAX = 16 * 2**20
"""Characters of JSON of a row group: what is held is bounded where single rows are long, too."""


class ParquetWriter:
    """Parquet: row groups of some thousand rows, fewer where these are long, compressed; the footer comes last.

    Parameters
    ----------
    columns
        The columns.
    about
        What the file is of, kept as its metadata.
    row_group
        Rows of a row group.
    """

    def __init__(self, columns: Sequence[Column], about: Mapping[str, str], row_group: int) -> None:
        self._columns = columns
        self._row_group = row_group
        self._schema = pa.schema(
            [pa.field(column.name, _type(column)) for column in columns], metadata=dict(about)
        )
        self._held: list[list[Any]] = [[] for _ in columns]
        self._documents = 0
        self._sink = _Sink()
        self._file = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def rows(self, items: Sequence[Any]) -> bytes:
        """Take in items of the list."""
        for column, held in zip(self._columns, self._held, strict=True):
            if column.kind is Kind.JSON:
                values = [column.value(item) for item in items]
                texts = [None if value is None else json_text(value) for value in values]
                self._documents += sum(len(text) for text in texts if text is not None)
                held.extend(texts)
            else:
                held += [column.value(item) for item in items]
        if len(self._held[0]) >= self._row_group or self._documents >= DOCUMENTS_MAX:
            self._write()
        return self._sink.taken()

    def end(self) -> bytes:
        """End the file."""
        self._write()
        self._file.close()
        return self._sink.taken()

    def _write(self) -> None:
        if not self._held[0]:
            return
        arrays = [
            pa.array(held, type=field.type)
            for held, field in zip(self._held, self._schema, strict=True)
        ]
        self._file.write_table(
            pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=self._row_group
        )
        self._held = [[] for _ in self._columns]
        self._documents = 0


class _Sink(io.RawIOBase):
    """Holds what was written and not taken yet; it only ever grows at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """Return what was written since, and hold it no more."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def _type(column: Column) -> Any:
    return {
        Kind.TEXT: pa.string,
        Kind.JSON: pa.string,
        Kind.INTEGER: pa.int64,
        Kind.FLAG: pa.bool_,
        Kind.TIME: lambda: pa.timestamp("us", tz="UTC"),
        Kind.DECIMAL: lambda: pa.decimal128(*column.digits),
    }[column.kind]()
