"""Tables as Parquet files, which most tools for data read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from paramsym.experiments.experiment import Table


def write_table(table: Table, path: Path, about: Mapping[str, Any]) -> None:
    """Write a table, with what it is `about` as JSON in the schema's metadata, key `paramsym`.

    Raises:
        ValueError: If its columns are not of one length, or one holds values of several kinds.
    """
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of {path.name} differ in length: {lengths}")
    columns = {name: _column(values, f"{path.name}, {name!r}") for name, values in table.items()}
    metadata = {"paramsym": json.dumps(dict(about), ensure_ascii=False)}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, compression="zstd")


def _column(values: Any, where: str) -> pa.Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"the column {where} cannot be written: {error}") from error
