"""The reference warehouse as a tuned DuckDB script: the peer that a full `smelt run` is measured against.

    duckdb_reference.py RAW_DIR OUT_DIR [--threads 2] [--memory 3GB]

RAW_DIR holds uncompressed JSON Lines, an entity's in a folder of its name (`orders/part-0.jsonl`, at any depth) or
in files of its name (`2026-01-05/orders.jsonl`). Writes every silver and gold table and each quarantine as
OUT_DIR/<table>.parquet, and prints one line of JSON: seconds by stage, bytes read, MB/s, peak memory.

All work is DuckDB's: the files of an entity are parsed, cleaned and validated in one pass. Its tables are those of
the reference wherever the JSON is plain. DuckDB's JSON reader is more lenient than the reference: it rewrites numbers
(1e2 is 100.0), keeps the first of repeated keys, takes nested values as text, NaN and a trailing comma, counts blank
lines, and gives a broken line to the quarantine without its text.
"""

import argparse
import json
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import duckdb

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "oracle"))

from silver import DEFAULTS, ENTITIES, Entity, kind  # noqa: E402

GOLD_TABLES = [
    "dim_date",
    "dim_customers",
    "dim_products",
    "fact_order_items",
    "daily_sales",
    "fact_orders",
    "fact_payments",
    "fact_shipments",
    "customer_lifetime",
]
ROW_ID_BITS = 40


class Peer:
    def __init__(self, raw_dir: Path, out_dir: Path, threads: int, memory: str):
        self.raw_dir, self.out_dir = raw_dir, out_dir
        self.seconds: dict[str, float] = {}
        self.bytes = 0
        self.connection = duckdb.connect(
            config={"threads": threads, "memory_limit": memory, "temp_directory": str(out_dir / "spill")}
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute((HERE / "duckdb_values.sql").read_text())

    def run(self) -> None:
        for entity in ENTITIES:
            with self.stage(f"silver {entity.name}"):
                self.silver(entity)
        with self.stage("gold tables"):
            self.execute((HERE / "duckdb_gold.sql").read_text())
        with self.stage("gold files"):
            for table in GOLD_TABLES:
                self.write(f"FROM {table}", table)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)

    def execute(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()

    def write(self, query: str, table: str) -> None:
        options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2"
        self.execute(f"COPY ({query}) TO '{self.out_dir}/{table}.parquet' ({options})")

    # --- silver -------------------------------------------------------------------------------------

    def silver(self, entity: Entity) -> None:
        name, key = entity.name, entity.key
        columns = ", ".join(entity.columns)
        files = self.files(entity)
        paths = [str(file) for file in files]
        self.bytes += sum(file.stat().st_size for file in files)

        # The order of the files' lines becomes the row id, which decides ties; nothing else needs an order.
        self.execute("SET preserve_insertion_order = true")
        self.execute(f"CREATE TEMP TABLE {name}_parsed AS {parse_query(entity, paths)}")
        self.execute("SET preserve_insertion_order = false")

        self.write(
            f"""SELECT '{name}' AS entity, path, rowid - first_row + 1 AS position, reasons, record
                FROM {name}_parsed
                JOIN (SELECT file_index, min(rowid) AS first_row FROM {name}_parsed GROUP BY file_index)
                USING (file_index)
                JOIN (SELECT unnest({paths}) AS path, unnest(range({len(files)})) AS file_index)
                USING (file_index)
                WHERE reasons IS NOT NULL""",
            f"{name}_quarantine",
        )
        if entity.has_history:
            self.execute(
                f"""CREATE TEMP TABLE {name}_events AS
                    SELECT {columns}, is_delete FROM {name}_parsed WHERE reasons IS NULL
                    QUALIFY row_number() OVER (PARTITION BY {key}, updated_at ORDER BY rowid DESC) = 1"""
            )
            self.write(f"SELECT {columns} FROM {name}_events WHERE NOT is_delete", f"{name}_cleaned_history")
            self.write(f"SELECT {key}, updated_at FROM {name}_events WHERE is_delete", f"{name}_cleaned_tombstones")
        # Time and row id in one number: the greatest of a key is its winner, and its low bits say where that is.
        self.execute(
            f"""CREATE TEMP TABLE {name}_cleaned AS
                SELECT {columns} FROM {name}_parsed
                WHERE NOT is_delete AND rowid IN (
                    SELECT max(epoch_us(updated_at)::HUGEINT * {1 << ROW_ID_BITS} + rowid) & {(1 << ROW_ID_BITS) - 1}
                    FROM {name}_parsed WHERE reasons IS NULL GROUP BY {key})"""
        )
        self.write(f"FROM {name}_cleaned", f"{name}_cleaned")
        self.execute(f"DROP TABLE {name}_parsed")

    def files(self, entity: Entity) -> list[Path]:
        """The entity's files in their order of arrival."""
        files = self.raw_dir.rglob("*.jsonl")
        of_entity = [file for file in files if entity.name in (file.stem, file.parent.name)]
        return sorted(of_entity, key=lambda file: str(file).encode())


def parse_query(entity: Entity, paths: list[str]) -> str:
    """Lines to typed values, with the reasons and the text of those that go to quarantine."""
    texts = ["_op", *entity.columns]
    columns = ", ".join(f"{column}: 'VARCHAR'" for column in texts)
    parsed = ", ".join(f"parse_{kind(column)}({column}) AS {column}_value" for column in entity.columns)
    values = ", ".join(
        f"coalesce({column}_value, {DEFAULTS.get(column, 'NULL')}) AS {column}" for column in entity.columns
    )

    absent = "missing or does not parse"
    always = {f"{column}: {absent}": f"{column}_value IS NULL" for column in (entity.key, "updated_at")}
    always["_op: unknown"] = "operation NOT IN ('i', 'c', 'u', 'd')"
    of_upserts = {}
    for column in entity.columns:
        if column in entity.required:
            of_upserts[f"{column}: {absent}"] = f"{column}_value IS NULL"
        elif kind(column) in ("money", "count", "flag", "timestamp"):
            of_upserts[f"{column}: does not parse"] = f"{column}_value IS NULL AND clean_text({column}) IS NOT NULL"
        if kind(column) == "money":
            of_upserts[f"{column}: negative"] = f"{column}_value < 0"
        if kind(column) == "count":
            of_upserts[f"{column}: below one"] = f"{column}_value < 1"
    is_broken = " OR ".join(always.values()) + f" OR (NOT is_delete AND ({' OR '.join(of_upserts.values())}))"
    of_upserts = {reason: f"NOT is_delete AND {condition}" for reason, condition in of_upserts.items()}
    reasons = ", ".join(
        f"CASE WHEN {condition} THEN '{reason}' END" for reason, condition in (always | of_upserts).items()
    )
    record = ", ".join(f"{column} := {column}" for column in texts)
    # Three projections, since an expression is evaluated again wherever its alias is named in the same one.
    return f"""
        SELECT file_index, is_delete, {values}, reasons,
               CASE WHEN reasons IS NOT NULL THEN CAST(to_json(struct_pack({record})) AS VARCHAR) END AS record
        FROM (
            SELECT *, CASE WHEN {is_broken} THEN concat_ws(', ', {reasons}) END AS reasons
            FROM (
                SELECT *, file_index, {parsed}, lower(clean_text(_op)) AS operation,
                       coalesce(lower(clean_text(_op)) = 'd', false) AS is_delete
                FROM read_json({paths}, format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true)
            )
        )"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="3GB")
    arguments = parser.parse_args()

    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    peer = Peer(arguments.raw_dir, arguments.out_dir, arguments.threads, arguments.memory)
    peer.run()
    total = time.monotonic() - started
    report = {
        "engine": f"duckdb {duckdb.__version__}",
        "seconds": round(total, 2),
        "bytes": peer.bytes,
        "megabytes_per_second": round(peer.bytes / total / 1e6, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "stages": peer.seconds,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
