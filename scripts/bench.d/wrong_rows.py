"""Which of the gold tables' rows are not those of the truth, counted as multisets.

    wrong_rows.py TRUTH FOUND

TRUTH and FOUND are each a folder of <table>.parquet or <table>/*.parquet, or a DuckDB database. Only columns of TRUTH are
looked at. Rows are compared by 64-bit hashes of all their values. Prints, as JSON, each table's rows in TRUTH and how
many of them FOUND does not have (`missing`) and has beyond them (`extra`): a changed row counts in both.
"""

import json
import sys
from pathlib import Path

import duckdb

from duckdb_reference import GOLD_TABLES

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")


def attach(name: str, place: Path) -> None:
    """Makes <name>_<table> for every table."""
    if place.is_file():
        connection.execute(f"ATTACH '{place}' AS {name} (READ_ONLY)")
    for table in GOLD_TABLES:
        if place.is_file():
            source = f"{name}.{table}"
        elif (place / table).is_dir():
            source = f"'{place}/{table}/*.parquet'"
        else:
            source = f"'{place}/{table}.parquet'"
        connection.execute(f"CREATE TEMP VIEW {name}_{table} AS FROM {source}")


def compare(table: str) -> dict[str, int]:
    described = connection.execute(f"DESCRIBE truth_{table}").fetchall()
    values = ", ".join(
        f"CAST({column} AS {'TIMESTAMP' if kind.startswith('TIMESTAMP') else kind})" for column, kind, *_ in described
    )
    rows, missing, extra = connection.execute(
        f"""SELECT sum(truth), sum(greatest(truth - found, 0)), sum(greatest(found - truth, 0))
            FROM (
                SELECT sum(truth) AS truth, sum(found) AS found
                FROM (
                    SELECT hash({values}) AS row, 1 AS truth, 0 AS found FROM truth_{table}
                    UNION ALL
                    SELECT hash({values}), 0, 1 FROM found_{table}
                )
                GROUP BY row
            )"""
    ).fetchone()
    return {"rows": int(rows), "missing": int(missing), "extra": int(extra)}


attach("truth", Path(sys.argv[1]))
attach("found", Path(sys.argv[2]))
print(json.dumps({table: compare(table) for table in GOLD_TABLES if table != "dim_date"}))
