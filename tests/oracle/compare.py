"""Compares the tables that smelt exported with the oracle's, as multisets, to the value.

    compare.py LAKE EXPORT_DIR [--through BATCH] [--accounting FILE]

EXPORT_DIR/<table>/*.parquet holds each silver and gold table, the quarantine as <entity>_quarantine.
Columns are matched by name and their types compared; exported columns that start with `_` are left
alone. NULL equals NULL and nothing is rounded. Exits with 1 on any difference.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Optional

import duckdb

import oracle
import silver

SAMPLES = 5
QUARANTINE_COLUMNS = ["entity", "batch", "path", "position"]
KEYS = {
    "dim_date": ["date_key"],
    "dim_customers": ["customer_id", "valid_from"],
    "dim_products": ["product_id", "valid_from"],
    "fact_order_items": ["order_item_id"],
    "fact_orders": ["order_id"],
    "fact_payments": ["payment_id"],
    "fact_shipments": ["shipment_id"],
    "daily_sales": ["order_date_key", "category", "shipping_country"],
    "customer_lifetime": ["customer_id"],
}
for entity in silver.ENTITIES:
    KEYS[f"{entity.name}_cleaned"] = [entity.key]
    KEYS[f"{entity.name}_cleaned_history"] = [entity.key, "updated_at"]
    KEYS[f"{entity.name}_cleaned_tombstones"] = [entity.key, "updated_at"]
    KEYS[f"{entity.name}_quarantine"] = QUARANTINE_COLUMNS

WHOLE_NUMBERS = {"SMALLINT", "INTEGER", "BIGINT"}
Row = tuple


def allowed_types(table: str, column: str, oracle_type: str) -> set[str]:
    """The types an exported column may have; the reference leaves the width of some integers open."""
    if oracle_type == "TIMESTAMP":
        return {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
    if column.endswith("date_key") or (table, column) == ("order_items_cleaned", "quantity"):
        return {"INTEGER"}
    if column.endswith("_count"):
        return {"BIGINT"}
    if oracle_type in WHOLE_NUMBERS:
        return WHOLE_NUMBERS
    return {oracle_type}


def compare_table(connection: duckdb.DuckDBPyConnection, table: str, export_dir: Path) -> bool:
    """Prints the verdict on one table and tells whether it is equal."""
    files = sorted((export_dir / table).glob("*.parquet"))
    if not files:
        expected_rows = count(connection, table)
        print(f"{table}: not exported ({expected_rows} rows expected)")
        return False
    connection.read_parquet([str(file) for file in files], union_by_name=False).create_view("exported", replace=True)

    expected = column_types(connection, f"FROM {table}")
    found = column_types(connection, "FROM exported")
    columns = QUARANTINE_COLUMNS if table.endswith("_quarantine") else list(expected)
    problems = []
    for column in columns:
        if column not in found:
            problems.append(f"    column {column} is missing")
        elif found[column] not in allowed_types(table, column, expected[column]):
            problems.append(f"    column {column} is {found[column]}, not {expected[column]}")
    if not table.endswith("_quarantine"):
        extra = [column for column in found if column not in expected and not column.startswith("_")]
        problems += [f"    column {column} is not in the reference" for column in extra]

    shared = [column for column in columns if column in found]
    wanted = [(column, column) for column in shared]
    actual = [(column, comparable(column, found[column], expected[column])) for column in shared]
    missing = difference(connection, table, wanted, "exported", actual)
    unexpected = difference(connection, "exported", actual, table, wanted)

    rows = count(connection, "exported")
    if not (problems or missing or unexpected):
        print(f"{table}: {rows} rows, equal")
        return True
    print(f"{table}: {rows} rows, {len(missing)} missing, {len(unexpected)} unexpected")
    print("\n".join(problems), end="\n" if problems else "")
    print_samples(shared, KEYS[table], missing, unexpected)
    return False


def column_types(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE {query}").fetchall()
    return {name: data_type for name, data_type, *_ in described}


def comparable(column: str, found_type: str, expected_type: str) -> str:
    """The exported column as an expression of the oracle's type, without any loss."""
    if found_type == "TIMESTAMP WITH TIME ZONE" and expected_type == "TIMESTAMP":
        return f"make_timestamp(epoch_us({column}))"
    return column


def difference(connection, of: str, of_columns: list, without: str, without_columns: list) -> list[Row]:
    """The rows of the multiset `of` that `without` does not have."""

    def select(table: str, columns: list[tuple[str, str]]) -> str:
        return f"SELECT {', '.join(f'{expression} AS {name}' for name, expression in columns)} FROM {table}"

    query = f"{select(of, of_columns)} EXCEPT ALL {select(without, without_columns)} ORDER BY ALL"
    return connection.execute(query).fetchall()


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def print_samples(columns: list[str], key: list[str], missing: list[Row], unexpected: list[Row]) -> None:
    """Rows that share a key are shown by their differing columns, the others whole."""
    places = [columns.index(column) for column in key if column in columns]

    def key_of(row: Row) -> Row:
        return tuple(row[place] for place in places)

    found_by_key = {key_of(row): row for row in unexpected}
    wanted_by_key = {key_of(row): row for row in missing}
    changed = [found for found in wanted_by_key if found in found_by_key]
    for row_key in changed[:SAMPLES]:
        differing = [
            f"{column}: expected {wanted!r}, found {found!r}"
            for column, wanted, found in zip(columns, wanted_by_key[row_key], found_by_key[row_key])
            if wanted != found
        ]
        print(f"    {show(key, row_key)}\n        " + "\n        ".join(differing or ["more than once"]))
    for label, rows, others in (("missing", missing, found_by_key), ("unexpected", unexpected, wanted_by_key)):
        for row in [row for row in rows if key_of(row) not in others][:SAMPLES]:
            print(f"    {label}: {show(columns, row)}")


def show(columns: list[str], row: Row) -> str:
    return ", ".join(f"{column}={value!r}" for column, value in zip(columns, row))


def compare_accounting(expected: oracle.Accounting, file: Path) -> bool:
    found = json.loads(file.read_text())
    equal = True
    for entity, counts in expected.items():
        for term, wanted in counts.items():
            actual: Optional[int] = found.get(entity, {}).get(term)
            if actual != wanted:
                equal = False
                print(f"accounting of {entity}: {term} is {actual}, not {wanted}")
    if equal:
        print(f"accounting: {sum(counts['raw'] for counts in expected.values())} raw records, equal")
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lake", type=Path)
    parser.add_argument("export_dir", type=Path)
    parser.add_argument("--through", type=int, metavar="BATCH", help="leave out later batches")
    parser.add_argument("--accounting", type=Path, metavar="FILE", help="smelt's row accounting as JSON")
    arguments = parser.parse_args()

    connection = oracle.connect()
    accounting = oracle.build(connection, arguments.lake, arguments.through)
    verdicts = [compare_table(connection, table, arguments.export_dir) for table in oracle.TABLES]
    if arguments.accounting:
        verdicts.append(compare_accounting(accounting, arguments.accounting))
    sys.exit(0 if all(verdicts) else 1)


if __name__ == "__main__":
    main()
