"""Runs the hand-written vectors of the value rules through the oracle's SQL.

    vectors.py FILE

Each line of FILE is {"kind": ..., "input": text or null, "expect": text or null} or, for an input that does not parse,
{"kind": ..., "input": text, "expect": null, "error": true}.
"""

import json
import sys
from pathlib import Path
from typing import Optional

import duckdb

import oracle

KINDS = ["identifier", "email", "code", "status", "money", "count", "flag", "timestamp", "text"]


def outcome(connection: duckdb.DuckDBPyConnection, kind: str, value: Optional[str]) -> tuple[Optional[str], bool]:
    """The clean value as text, and whether the input does not parse."""
    assert kind in KINDS, f"unknown kind {kind!r}"
    as_text = "timestamp_text(clean)" if kind == "timestamp" else "CAST(clean AS VARCHAR)"
    [found] = connection.execute(
        f"""SELECT {as_text}, standard IS NOT NULL AND clean IS NULL
            FROM (SELECT standard(CAST(? AS VARCHAR)) AS standard, parse_{kind}(standard) AS clean)""",
        [value],
    ).fetchall()
    return found


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    connection = oracle.connect()
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")
    checked, differing = 0, 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        vector = json.loads(line)
        expected = (vector["expect"], vector.get("error", False))
        found = outcome(connection, vector["kind"], vector["input"])
        checked += 1
        if found != expected:
            differing += 1
            print(f"line {number}: {line}\n    found expect {found[0]!r}, error {found[1]}")
    print(f"{checked} vectors, {differing} differ")
    sys.exit(1 if differing or not checked else 0)


if __name__ == "__main__":
    main()
