"""Runs the statements of `smelt explain MODEL --sql` in DuckDB, and compares what they make of each table with what a run made of it.

    statements.py BEFORE_DIR AFTER_DIR STATEMENTS_DIR

BEFORE_DIR/<table>/*.parquet and AFTER_DIR/<table>/*.parquet hold every table as `smelt export --all` wrote it before and
after a run; STATEMENTS_DIR/<model>.sql the statements. Exits with 1 on any difference.
"""

import re
import sys
from pathlib import Path

import duckdb

# What the models use of Redshift's functions and DuckDB lacks.
SHIMS = """
SET TimeZone = 'UTC';
CREATE MACRO to_char(moment, format) AS strftime(moment, CASE format
    WHEN 'YYYYMMDD' THEN '%Y%m%d'
    WHEN 'YYYY-MM-DD HH24:MI:SS.US' THEN '%Y-%m-%d %H:%M:%S.%f'
END);
"""

# DuckDB divides decimals as doubles, which do not round as they do.
DIVIDED = {"customer_lifetime": "EXCLUDE (average_order_amount)"}


def zone(table: str) -> str:
    return "staging" if re.search(r"_(cleaned|cleaned_history|cleaned_tombstones|quarantine)$", table) else "gold"


def open_warehouse(before: Path, after: Path) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute(SHIMS + "CREATE SCHEMA staging; CREATE SCHEMA gold")
    for folder in sorted(after.iterdir()):
        schema, table = zone(folder.name), folder.name
        rows = {when: f"read_parquet('{root / table}/*.parquet')" for when, root in (("was", before), ("is", after))}
        database.execute(f"CREATE TABLE {schema}.{table} AS FROM {rows['is']}")
        database.execute(f"CREATE TABLE __was_{schema}_{table} AS FROM {rows['was']}")
        for name, one, other in (("went", "was", "is"), ("came", "is", "was")):
            images = f"(FROM {rows[one]}) EXCEPT ALL (FROM {rows[other]})"
            database.execute(f"CREATE TABLE __{name}_{schema}_{table} AS {images}")
    return database


def count(database: duckdb.DuckDBPyConnection, rows: str) -> int:
    return database.execute(f"SELECT count(*) FROM ({rows})").fetchone()[0]


def main() -> None:
    before, after, statements = map(Path, sys.argv[1:])
    database = open_warehouse(before, after)
    differ = 0
    for file in sorted(statements.glob("*.sql")):
        model = file.stem
        changed = sum(count(database, f"FROM __{side}_gold_{model}") for side in ("went", "came"))
        database.execute(f"BEGIN; CREATE TABLE expected AS FROM gold.{model}")
        database.execute(f"CREATE OR REPLACE TABLE gold.{model} AS FROM __was_gold_{model}")
        database.execute(file.read_text())
        ours, theirs = (f"SELECT * {DIVIDED.get(model, '')} FROM {table}" for table in (f"gold.{model}", "expected"))
        wrong = count(database, f"{ours} EXCEPT ALL {theirs}") + count(database, f"{theirs} EXCEPT ALL {ours}")
        database.execute("ROLLBACK")
        print(f"{model}: {changed} rows changed, {wrong} differ")
        differ += wrong > 0 or changed == 0
    sys.exit(differ > 0)


main()
