"""Reads the published Delta tables as other tools do, and compares them with what smelt answers.

    read_tables.py LAKE ANSWERS VERSIONS

LAKE is the lake's folder, ANSWERS/<zone>.<table>.parquet what `smelt query` gave for each table, and
VERSIONS a JSON object from <zone>.<table> to Delta version. Each table is read at that version by the
deltalake package, by Polars and by DuckDB, and compared as a multiset, NULL equal to NULL, nothing
rounded. Nothing is downloaded. Exits with 1 on any difference.
"""

import json
import sys
from pathlib import Path

import deltalake
import duckdb
import duckdb_extension_delta
import polars
import pyarrow

SAMPLES = 3


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    [extension] = Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def read(connection: duckdb.DuckDBPyConnection, reader: str, table: Path, version: int) -> None:
    """Makes the view `found` of what a reader sees."""
    if reader == "deltalake":
        rows = deltalake.DeltaTable(str(table), version=version).scan()
        connection.register("found_rows", pyarrow.table(rows))
    elif reader == "polars":
        connection.register("found_rows", polars.scan_delta(str(table), version=version).collect().to_arrow())
    else:
        connection.execute(f"CREATE OR REPLACE VIEW found AS FROM delta_scan('{table}', version => {version})")
        return
    connection.execute("CREATE OR REPLACE VIEW found AS FROM found_rows")


def columns(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {view}").fetchall()}


def select(view: str, types: dict[str, str]) -> str:
    """All columns, timestamps as the microseconds since 1970 that every reader agrees on."""
    expressions = [
        f'epoch_us("{name}") AS "{name}"' if kind.startswith("TIMESTAMP") else f'"{name}"' for name, kind in types.items()
    ]
    return f"SELECT {', '.join(expressions)} FROM {view}"


def same_type(answered: str, found: str) -> bool:
    """Delta's timestamps are UTC and say so; answers leave the zone out."""
    zoned = {"TIMESTAMP": "TIMESTAMP WITH TIME ZONE"}
    return found == zoned.get(answered, answered)


def compare(connection: duckdb.DuckDBPyConnection, reader: str, name: str) -> bool:
    answered_types, found_types = columns(connection, "answered"), columns(connection, "found")
    if list(answered_types) != list(found_types):
        print(f"{name}, {reader}: columns {list(found_types)}, not {list(answered_types)}")
        return False
    wrong = [
        f"{column} is {found_types[column]}, not {kind}"
        for column, kind in answered_types.items()
        if not same_type(kind, found_types[column])
    ]
    answered, found = select("answered", answered_types), select("found", found_types)
    missing = connection.execute(f"{answered} EXCEPT ALL {found}").fetchall()
    unexpected = connection.execute(f"{found} EXCEPT ALL {answered}").fetchall()
    if wrong or missing or unexpected:
        print(f"{name}, {reader}: {len(missing)} rows missing, {len(unexpected)} unexpected {wrong}")
        for label, rows in (("missing", missing), ("unexpected", unexpected)):
            for row in rows[:SAMPLES]:
                print(f"    {label}: {row}")
        return False
    [(rows,)] = connection.execute("SELECT count(*) FROM found").fetchall()
    print(f"{name}, {reader}: {rows} rows, equal")
    return True


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    lake, answers, versions = map(Path, sys.argv[1:])
    connection = connect()
    verdicts = []
    for name, version in json.loads(versions.read_text()).items():
        connection.execute(f"CREATE OR REPLACE VIEW answered AS FROM read_parquet('{answers / name}.parquet')")
        for reader in ("deltalake", "polars", "duckdb"):
            read(connection, reader, lake / name.replace(".", "/"), version)
            verdicts.append(compare(connection, reader, name))
    sys.exit(0 if verdicts and all(verdicts) else 1)


if __name__ == "__main__":
    main()
