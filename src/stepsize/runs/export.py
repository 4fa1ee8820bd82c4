"""A sweep's table for other programs: pandas, CSV, JSONL, Parquet."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stepsize._result import write_atomically
from stepsize.runs.table import Runs

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".jsonl", ".parquet")


def to_pandas(runs: Runs) -> pd.DataFrame:
    """The table as a DataFrame, one row a cell."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas: pip install pandas, or use runs.rows()") from error
    return pd.DataFrame(runs.rows())


def check_format(path: str | os.PathLike[str]) -> None:
    """Find out before the work whether the ending is one that `export` writes, with what is installed."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"a table is written as {', '.join(FORMATS)}, but the path is {os.fspath(path)}")
    if ending == ".parquet":
        _parquet()


def export(runs: Runs, path: str | os.PathLike[str]) -> None:
    """Write the table; a CSV or JSONL file appears whole or not at all."""
    check_format(path)
    ending = Path(path).suffix.lower()
    if ending == ".csv":
        write_atomically(path, _csv(runs))
    elif ending == ".jsonl":
        write_atomically(path, "".join(f"{line}\n" for line in map(_line, runs.rows(), runs.runs)))
    else:
        arrow, parquet = _parquet()
        parquet.write_table(arrow.Table.from_pylist(runs.rows()), path)


def _csv(runs: Runs) -> str:
    rows = runs.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["lr"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _line(row: dict[str, Any], run: Any) -> str:
    """One cell with its curves; what is NaN there becomes null, as JSON has no other word for it."""
    curves = {
        "evaluated_at": run.evaluated_at.tolist(),
        "val_losses": run.val_loss.tolist(),
        **{f"{name}_curve": values.tolist() for name, values in run.metrics.items()},
        "train_at": run.train_at.tolist(),
        "train_losses": run.train_loss.tolist(),
    }
    return msgspec.json.encode(row | curves).decode()  # msgspec writes NaN and infinities as null


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install pyarrow, or write .csv or .jsonl") from error
    return pa, parquet
