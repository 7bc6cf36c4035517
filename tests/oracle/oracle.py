"""The reference warehouse, computed by DuckDB from a lake's raw zone alone: what smelt must agree with.

    oracle.py LAKE OUT_DIR [--through BATCH]

writes every silver and gold table as OUT_DIR/<table>.parquet, all rows in quarantine as
OUT_DIR/quarantine.parquet, and the row accounting as OUT_DIR/accounting.json. The silver and gold tables of
no other implementation are read.
"""

import argparse
import json
from pathlib import Path
from typing import Optional

import duckdb
import pyarrow

import raw
import silver

HERE = Path(__file__).parent

GOLD_TABLES = [
    "dim_date",
    "dim_customers",
    "dim_products",
    "fact_order_items",
    "fact_orders",
    "fact_payments",
    "fact_shipments",
    "daily_sales",
    "customer_lifetime",
]
TABLES = [table for entity in silver.ENTITIES for table in entity.tables] + GOLD_TABLES

Accounting = dict[str, dict[str, int]]


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute((HERE / "values.sql").read_text())
    return connection


def build(
    connection: duckdb.DuckDBPyConnection, lake: Path, through: Optional[int] = None
) -> Accounting:
    """Makes all of TABLES in `connection` (from `connect`) and returns the row accounting by entity."""
    landed = raw.extracts(lake, through)
    accounting = {}
    for entity in silver.ENTITIES:
        create_raw(connection, entity, landed)
        accounting[entity.name] = silver.create(connection, entity)
    connection.execute((HERE / "gold.sql").read_text())
    for entity, counts in accounting.items():
        assert counts["raw"] == sum(counts.values()) - counts["raw"], (entity, counts)
    return accounting


def create_raw(
    connection: duckdb.DuckDBPyConnection, entity: silver.Entity, landed: list[raw.Extract]
) -> None:
    columns: list[str] = list(dict.fromkeys(["_op", *entity.columns]))
    batch, path, position, readable = [], [], [], []
    text: list[list[Optional[str]]] = [[] for _ in columns]
    for extract in landed:
        if extract.entity != entity.name:
            continue
        for number, record in enumerate(extract.records(), start=1):
            batch.append(extract.batch)
            path.append(extract.path)
            position.append(number)
            readable.append(record is not None)
            for values, column in zip(text, columns):
                values.append(record.get(column) if record is not None else None)
    records = pyarrow.table(
        {
            "arrival": pyarrow.array(range(len(batch)), pyarrow.int64()),
            "batch": pyarrow.array(batch, pyarrow.int64()),
            "path": pyarrow.array(path, pyarrow.string()),
            "position": pyarrow.array(position, pyarrow.int64()),
            "readable": pyarrow.array(readable, pyarrow.bool_()),
        }
        | {name: pyarrow.array(values, pyarrow.string()) for name, values in zip(columns, text)}
    )
    connection.register("records", records)
    connection.execute(f"CREATE TABLE {entity.name}_raw AS FROM records")
    connection.unregister("records")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lake", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--through", type=int, metavar="BATCH", help="leave out later batches")
    arguments = parser.parse_args()

    connection = connect()
    accounting = build(connection, arguments.lake, arguments.through)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        connection.table(table).write_parquet(str(arguments.out_dir / f"{table}.parquet"))
    quarantine = " UNION ALL ".join(f"FROM {entity.name}_quarantine" for entity in silver.ENTITIES)
    connection.sql(quarantine).write_parquet(str(arguments.out_dir / "quarantine.parquet"))
    (arguments.out_dir / "accounting.json").write_text(json.dumps(accounting, indent=2) + "\n")


if __name__ == "__main__":
    main()
