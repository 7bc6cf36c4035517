"""Raw extracts to rows of text: which records a lake holds, in which order they arrived.

Nothing is interpreted here. A readable record becomes a dictionary from column name to the text that
stands in the file (None for a JSON null or an absent column), an unreadable one becomes None. Plain
Python on purpose: it shares neither code nor parser with the warehouse it checks.
"""

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

import duckdb
import pyarrow
import pyarrow.parquet

Record = Optional[dict[str, Optional[str]]]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WHITE_SPACE = b" \t\r\n\f\v"


@dataclass(frozen=True)
class Extract:
    """One landed file, as its batch manifest describes it."""

    entity: str
    batch: int
    path: str
    stored: Path
    format: str
    compression: str

    def records(self) -> Iterator[Record]:
        """Every record of the file in file order; the first has position 1."""
        readers = {"jsonl": read_json_lines, "csv": read_csv, "parquet": read_parquet}
        return readers[self.format](decompress(self.stored.read_bytes(), self.compression))


def extracts(lake: Path, through: Optional[int] = None) -> list[Extract]:
    """The landed files in arrival order, the same content of an entity only once."""
    landed: dict[tuple[str, str], Extract] = {}
    for manifest_path in sorted((lake / "_smelt" / "batches").glob("*.json")):
        manifest = json.loads(manifest_path.read_bytes())
        if through is not None and manifest["batch"] > through:
            continue
        for file in sorted(manifest["files"], key=lambda file: file["path"].encode()):
            extract = Extract(
                entity=file["entity"],
                batch=manifest["batch"],
                path=file["path"],
                stored=lake / file["raw"],
                format=file["format"],
                compression=file["compression"],
            )
            landed.setdefault((file["entity"], file["sha256"]), extract)
    return sorted(landed.values(), key=lambda extract: (extract.batch, extract.path.encode()))


def decompress(content: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.decompress(content)
    if compression == "zstd":
        source = pyarrow.BufferReader(content)
        return pyarrow.CompressedInputStream(source, "zstd").read()
    assert compression == "none", compression
    return content


# --- JSON Lines ---------------------------------------------------------------------------------


class Unreadable(ValueError):
    """The line is not one flat JSON object."""


class Pairs(list):
    """The members of a JSON object in file order, told apart from an array."""


def refuse_constant(name: str) -> str:
    raise Unreadable(f"{name} is not JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs,
    parse_int=str,
    parse_float=str,
    parse_constant=refuse_constant,
    strict=True,
)


def read_json_lines(content: bytes) -> Iterator[Record]:
    for line in content.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        if not line.strip(WHITE_SPACE):
            continue
        try:
            yield json_record(line)
        except (ValueError, RecursionError):
            yield None


def json_record(line: bytes) -> Record:
    text = line.decode("utf-8")
    members = DECODER.decode(text)
    if not isinstance(members, Pairs):
        raise Unreadable("not an object")
    record = {name: json_text(value) for name, value in members}
    if "\\u" in text:
        for part in (*record, *record.values()):
            (part or "").encode("utf-8")  # refuses half of a surrogate pair
    return record


def json_text(value) -> Optional[str]:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise Unreadable("an object or array as a value")


# --- CSV ----------------------------------------------------------------------------------------

QUOTED_FIELD = re.compile(rb'"((?:[^"]++|"")*+)"([^,\r\n]*+)')
PLAIN_FIELD = re.compile(rb"([^,\r\n]*+)")
LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
BLANK_LINE = re.compile(rb"[ \t\f\v]*+(?:\r\n|\n|\r|\Z)")


def read_csv(content: bytes) -> Iterator[Record]:
    header: Optional[list[str]] = None
    for fields in csv_records(content.removeprefix(BYTE_ORDER_MARK)):
        if header is None and fields is not None:
            header = [name.decode("utf-8", errors="replace") for name in fields]
            continue
        try:
            if fields is None or len(fields) != len(header):
                raise Unreadable("an unclosed quote, or too few or too many fields")
            yield dict(zip(header, (field.decode("utf-8") for field in fields)))
        except ValueError:
            yield None


def csv_records(content: bytes) -> Iterator[Optional[list[bytes]]]:
    """The fields of each record; None for the rest of a file whose last quote never closes."""
    position = 0
    while position < len(content):
        blank = BLANK_LINE.match(content, position)
        if blank:
            position = blank.end()
            continue
        fields = []
        while True:
            if content.startswith(b'"', position):
                field = QUOTED_FIELD.match(content, position)
                if field is None:
                    yield None
                    return
                fields.append(field[1].replace(b'""', b'"') + field[2])
            else:
                field = PLAIN_FIELD.match(content, position)
                fields.append(field[1])
            position = field.end()
            if not content.startswith(b",", position):
                break
            position += 1
        position = LINE_END.match(content, position).end()
        yield fields


# --- Parquet ------------------------------------------------------------------------------------


def read_parquet(content: bytes) -> Iterator[Record]:
    typed = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    for index, field in enumerate(typed.schema):
        if pyarrow.types.is_timestamp(field.type):
            column = typed.column(index).cast(pyarrow.timestamp("us", field.type.tz), safe=False)
            # The instant in UTC, whatever zone the file shows it in.
            typed = typed.set_column(index, field.name, column.cast(pyarrow.timestamp("us")))
    with duckdb.connect() as connection:
        text = connection.sql("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM typed").to_arrow_table()
    return iter(text.to_pylist())
