"""Proves the oracle on tiny hand-made lakes whose expected rows were derived by hand from the reference.

    selftest.py
"""

import datetime
import gzip
import hashlib
import io
import json
import shutil
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Iterable, Optional, Union

import pyarrow
import pyarrow.parquet

import compare
import oracle
import vectors

Content = Union[bytes, list[dict]]


class Lake:
    """A raw zone in a temporary folder, landed batch by batch."""

    def __init__(self, root: Path):
        self.root = root

    def land(self, batch: int, entity: str, content: Content, path: Optional[str] = None,
             format: str = "jsonl", compression: str = "none") -> "Lake":
        if isinstance(content, list):
            content = b"".join(json.dumps(record).encode() + b"\n" for record in content)
        sha256 = hashlib.sha256(content).hexdigest()
        stored = f"raw/{entity}/ingestion_date=2026-01-05/{sha256}.{format}"
        (self.root / stored).parent.mkdir(parents=True, exist_ok=True)
        (self.root / stored).write_bytes(content)
        manifest_path = self.root / "_smelt" / "batches" / f"{batch:020}.json"
        manifest_path.parent.mkdir(parents=True, exist_ok=True)
        manifest = {"format": 1, "batch": batch, "ingestion_date": "2026-01-05", "files": []}
        if manifest_path.exists():
            manifest = json.loads(manifest_path.read_text())
        manifest["files"].append(
            {"entity": entity, "path": path or f"{entity}.{format}", "raw": stored, "sha256": sha256,
             "bytes": len(content), "format": format, "compression": compression}
        )
        manifest_path.write_text(json.dumps(manifest))
        return self


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def surrogate_key(business_key: str, valid_from: str) -> str:
    return hashlib.md5(f"{business_key}|{valid_from}".encode()).hexdigest()


BEGINNING = at("1900-01-01")
FOREVER = at("9999-12-31")
FIRST = "1900-01-01 00:00:00.000000"


def customer(customer_id: str, updated_at: str, **others) -> dict:
    return {"customer_id": customer_id, "updated_at": updated_at} | others


def product(product_id: str, updated_at: str, **others) -> dict:
    return {"product_id": product_id, "updated_at": updated_at, "name": product_id} | others


def order(order_id: str, updated_at: str, **others) -> dict:
    return {"order_id": order_id, "updated_at": updated_at, "customer_id": "C1",
            "order_status": "placed", "ordered_at": "2026-01-10"} | others


def item(order_item_id: str, order_id: str, **others) -> dict:
    return {"order_item_id": order_item_id, "order_id": order_id, "updated_at": "2026-01-10",
            "product_id": "P1", "quantity": 1, "unit_price": "1.00"} | others


def payment(payment_id: str, order_id: str, **others) -> dict:
    return {"payment_id": payment_id, "order_id": order_id, "updated_at": "2026-01-10",
            "payment_status": "captured", "amount": "1.00"} | others


def shipment(shipment_id: str, order_id: str, **others) -> dict:
    return {"shipment_id": shipment_id, "order_id": order_id, "updated_at": "2026-01-10"} | others


class OracleTest(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.lake = Lake(self.root)

    def build(self, through: Optional[int] = None) -> None:
        self.connection = oracle.connect()
        self.accounting = oracle.build(self.connection, self.root, through)

    def rows(self, table: str, columns: str) -> list[tuple]:
        return self.connection.execute(f"SELECT {columns} FROM {table} ORDER BY ALL").fetchall()

    def assert_rows(self, table: str, columns: str, expected: Iterable[tuple]) -> None:
        self.assertEqual(self.rows(table, columns), list(expected))

    def assert_accounting(self, entity: str, **expected: int) -> None:
        self.assertEqual(self.accounting[entity], expected)


class Reading(OracleTest):
    def test_json_lines_keep_number_tokens_and_lose_only_broken_lines(self) -> None:
        self.lake.land(1, "customers", b"\n".join([
            b'\xef\xbb\xbf{"customer_id": 1.50, "updated_at": "2026-01-01", "phone": 1e2}',
            b"   ",
            b'{"customer_id": "C2", "customer_id": "C3", "updated_at": "2026-01-01", "phone": true}\r',
            b'{"customer_id": "C4", "updated_at": "2026-01-01"',
            b'{"customer_id": "C5", "updated_at": "2026-01-01", "phone": {"home": 1}}',
            b'{"customer_id": "C6", "updated_at": "2026-01-01", "phone": "\xff"}',
            b'{"customer_id": "C7", "updated_at": "2026-01-01", "phone": "\\ud800"}',
            b'{"customer_id": "C8", "updated_at": "2026-01-01", "phone": NaN}',
            b'{"customer_id": "C9", "updated_at": "2026-01-01", "phone": 007}',
            b'["C10"]',
            b'{"customer_id": "C11", "updated_at": "2026-01-01", "phone": "\\ud83d\\ude00"} x',
            b'{"customer_id": "C12", "updated_at": "2026-01-01", "phone": "\\ud83d\\ude00"}',
            b'{"customer_id": "C13", "updated_at": "2026-01-01", "phone": "tab\there"}',
        ]))
        self.build()
        self.assert_rows("customers_cleaned", "customer_id, phone", [
            ("1.50", "1e2"), ("C12", "\U0001f600"), ("C3", "true"),
        ])
        self.assert_rows("customers_quarantine", "batch, position, reasons", [
            (1, position, ["unreadable"]) for position in (3, 4, 5, 6, 7, 8, 9, 10, 12)
        ])
        self.assert_accounting("customers", raw=12, current=3, superseded=0, tombstones=0, quarantined=9)

    def test_csv_quotes_blank_lines_field_counts_and_an_unclosed_quote(self) -> None:
        self.lake.land(1, "customers", format="csv", content=(
            b"\xef\xbb\xbfcustomer_id,phone,updated_at\r\n"
            b'C1,"line one\nline ""two"", still",2026-01-01\r\n'
            b"\r\n"
            b"C2,2026-01-01\n"
            b"C3,,2026-01-01,\n"
            b'C4,5" pipe,2026-01-01\n'
            b"C5,\xff,2026-01-01\n"
            b'C6,"never closed,2026-01-01\n'
            b"C7,,2026-01-01\n"
        ))
        self.build()
        self.assert_rows("customers_cleaned", "customer_id, phone", [
            ("C1", 'line one\nline "two", still'), ("C4", '5" pipe'),
        ])
        self.assert_rows("customers_quarantine", "position", [(2,), (3,), (5,), (6,)])
        self.assert_accounting("customers", raw=6, current=2, superseded=0, tombstones=0, quarantined=4)

    def test_parquet_values_go_through_their_usual_text(self) -> None:
        table = pyarrow.table({
            "order_item_id": [7, 8],
            "order_id": ["o1", "o1"],
            "product_id": ["p1", "p1"],
            "quantity": [2.0, None],
            "unit_price": [1.125, 2.5],
            "updated_at": pyarrow.array([0, 1], pyarrow.timestamp("us")),
        })
        first, second = io.BytesIO(), io.BytesIO()
        pyarrow.parquet.write_table(table, first)
        whole = table.set_column(3, "quantity", pyarrow.array([2, 3], pyarrow.int64()))
        zoned = whole.set_column(5, "updated_at", pyarrow.array([0, 1], pyarrow.timestamp("s", "Asia/Tokyo")))
        pyarrow.parquet.write_table(zoned, second)
        self.lake.land(1, "order_items", first.getvalue(), format="parquet")
        self.lake.land(2, "order_items", second.getvalue(), format="parquet")
        self.build()
        # "2.0" is no count, and a NULL quantity is missing.
        self.assert_rows("order_items_quarantine", "batch, position", [(1, 1), (1, 2)])
        self.assert_rows("order_items_cleaned", "order_item_id, quantity, unit_price, updated_at", [
            ("7", 2, Decimal("1.13"), at("1970-01-01")), ("8", 3, Decimal("2.50"), at("1970-01-01 00:00:01")),
        ])

    def test_compressed_and_repeated_files(self) -> None:
        plain = b'{"customer_id": "C1", "updated_at": "2026-01-01"}\n'
        self.lake.land(1, "customers", plain)
        self.lake.land(2, "customers", plain)
        self.lake.land(3, "customers", gzip.compress(plain), compression="gzip")
        self.lake.land(4, "customers", bytes(pyarrow.compress(plain, "zstd", asbytes=True)), compression="zstd")
        self.build()
        self.assert_accounting("customers", raw=3, current=1, superseded=2, tombstones=0, quarantined=0)
        self.build(through=3)
        self.assert_accounting("customers", raw=2, current=1, superseded=1, tombstones=0, quarantined=0)


class Values(OracleTest):
    def test_each_kind_of_value(self) -> None:
        connection = oracle.connect()
        for kind, given, expected in [
            ("identifier", " a\tb\u00a0c ", "AB\u00a0C"), ("identifier", "\\N", None), ("identifier", "Null", "NULL"),
            ("email", "A@\u00c9.org", "a@\u00c9.org"), ("code", "de", "DE"), ("text", " a\nb\f", "a\nb"),
            ("status", "In-Transit", "shipped"), ("status", "a  b\tc", "a__b\tc"), ("status", "CANCELED", "cancelled"),
            ("money", "$ -1,234.565", "-1234.57"), ("money", "-0.0049", "0.00"), ("money", "5.", "5.00"),
            ("money", "9999999999999999.99", "9999999999999999.99"), ("money", "N/A", None),
            ("count", "+002", "2"), ("flag", "YES", "true"), ("flag", "0", "false"),
            ("timestamp", "2026-01-05T10:00:00.5+0130", "2026-01-05 08:30:00.500000"),
            ("timestamp", "2026-01-05", "2026-01-05 00:00:00.000000"),
            ("timestamp", "1767571200123", "2026-01-05 00:00:00.123000"),
            ("timestamp", "2026-01-05 00:00:00-14", "2026-01-05 14:00:00.000000"),
        ]:
            with self.subTest(kind=kind, given=given):
                self.assertEqual(vectors.outcome(connection, kind, given), (expected, False))
        for kind, given in [
            ("money", "-$3"), ("money", "1e2"), ("money", "."), ("money", "9999999999999999.995"),
            ("money", "12345678901234567"), ("money", "1.2 EUR"), ("count", "2.0"), ("count", "2147483648"),
            ("flag", "on"), ("timestamp", "2026-02-29"), ("timestamp", "2026-01-05 24:00:00"),
            ("timestamp", "2026-01-05 10:00"), ("timestamp", "2026-01-05 10:00:00+14:01"),
            ("timestamp", "0000-12-31"), ("timestamp", "2026-01-05 10:00:60"), ("timestamp", "17675712000"),
        ]:
            with self.subTest(kind=kind, given=given):
                self.assertEqual(vectors.outcome(connection, kind, given), (None, True))

    def test_defaults_required_values_and_what_a_delete_may_hold(self) -> None:
        self.lake.land(1, "products", [
            product("p1", "2026-01-01", unit_price="-0.004", unit_cost="-0.005"),
            product("p2", "2026-01-01", unit_price="-0.004", is_active="n/a"),
            product("p3", "2026-01-01", name="NULL"),
            product("p4", "2026-01-01", name=None, unit_price="-5", _op=" D "),
            product("p5", "soon", _op="d"),
            product("p6", "2026-01-01", _op="x"),
            product("p7", "2026-01-01", _op=""),
            product("", "2026-01-01", name="nameless"),
        ])
        self.lake.land(1, "orders", [order("o1", "2026-01-01", discount_amount=None)])
        self.build()
        self.assert_rows("products_cleaned", "product_id, unit_price, is_active", [
            ("P2", Decimal("0.00"), True), ("P7", None, True),
        ])
        self.assert_rows("products_quarantine", "position, reasons", [
            (1, ["unit_cost: negative"]), (3, ["name: missing"]), (5, ["updated_at: does not parse"]),
            (6, ["_op: unknown"]), (8, ["product_id: missing"]),
        ])
        self.assert_accounting("products", raw=8, current=2, superseded=0, tombstones=1, quarantined=5)
        self.assert_rows("orders_cleaned", "discount_amount, shipping_amount", [(Decimal("0.00"), Decimal("0.00"))])


class Deduplication(OracleTest):
    def test_the_last_arrived_wins_a_tie_delete_or_not(self) -> None:
        self.lake.land(2, "orders", [
            order("deleted", "2026-01-02T00:00:00Z", _op="d"),
            order("kept", "2026-01-02", order_status="later"),
            order("revived", "2026-01-04"),
        ])
        self.lake.land(1, "orders", [
            order("deleted", "2026-01-02"),
            order("kept", "2026-01-02", _op="d"),
            order("revived", "2026-01-03", _op="d"),
        ])
        # Late and older than the tombstone: the row stays deleted.
        self.lake.land(10, "orders", [order("deleted", "2026-01-01")])
        self.build()
        self.assert_rows("orders_cleaned", "order_id, order_status", [("KEPT", "later"), ("REVIVED", "placed")])
        self.assert_accounting("orders", raw=7, current=2, superseded=4, tombstones=1, quarantined=0)

    def test_arrival_is_batch_then_path_in_bytes_then_position(self) -> None:
        self.lake.land(10, "orders", path="z", content=[order("o1", "2026-01-01", order_status="ten"),
                                                        order("o2", "2026-01-01", order_status="first")])
        self.lake.land(9, "orders", path="a", content=[order("o1", "2026-01-01", order_status="nine")])
        self.lake.land(10, "orders", path="Z\u00e9", content=[order("o2", "2026-01-01", order_status="upper")])
        self.lake.land(9, "orders", path="\u00e9", content=[order("o3", "2026-01-01", order_status="accent")])
        self.lake.land(9, "orders", path="zz", content=[order("o3", "2026-01-01", order_status="plain"),
                                                        order("o3", "2026-01-01", order_status="second")])
        self.build()
        self.assert_rows("orders_cleaned", "order_id, order_status", [
            ("O1", "ten"), ("O2", "first"), ("O3", "accent"),
        ])


class History(OracleTest):
    DIMENSION = "customer_id, city, valid_from, valid_to, is_current, is_inferred"

    def test_one_event_a_moment_and_a_late_upsert_between_two_tombstones(self) -> None:
        self.lake.land(1, "customers", [
            customer("c1", "2026-01-01", city="A"),
            customer("c1", "2026-01-03", _op="d"),
            customer("c1", "2026-01-05", _op="d"),
            customer("c2", "2026-01-01", city="A", _op="d"),
            customer("c2", "2026-01-01", city="B"),
            customer("c2", "2026-01-02", city="C"),
            customer("c2", "2026-01-02", _op="d"),
        ])
        self.build()
        self.assert_rows("customers_cleaned_history", "customer_id, updated_at, city", [
            ("C1", at("2026-01-01"), "A"), ("C2", at("2026-01-01"), "B"),
        ])
        self.assert_rows("customers_cleaned_tombstones", "*", [
            ("C1", at("2026-01-03")), ("C1", at("2026-01-05")), ("C2", at("2026-01-02")),
        ])
        self.assert_rows("dim_customers", self.DIMENSION, [
            ("C1", "A", BEGINNING, at("2026-01-03"), False, False),
            ("C2", "B", BEGINNING, at("2026-01-02"), False, False),
        ])
        self.assert_accounting("customers", raw=7, current=0, superseded=5, tombstones=2, quarantined=0)

        self.lake.land(2, "customers", [customer("c1", "2026-01-04", city="A")])
        self.build()
        self.assert_rows("dim_customers", self.DIMENSION, [
            ("C1", "A", BEGINNING, at("2026-01-03"), False, False),
            ("C1", "A", at("2026-01-04"), at("2026-01-05"), False, False),
            ("C2", "B", BEGINNING, at("2026-01-02"), False, False),
        ])

    def test_versions_start_only_where_a_tracked_attribute_differs(self) -> None:
        self.lake.land(1, "customers", [
            customer("c1", "2026-01-01", city="A", phone="1", created_at="2026-01-01"),
            customer("c1", "2026-01-02", city="A", phone="2", created_at="2026-02-02"),
            customer("c1", "2026-01-03", city=None),
            customer("c1", "2026-01-04", city="N/A", marketing_opt_in="no"),
            customer("c1", "2026-01-05T06:07:08.9", city="A"),
            customer("c2", "2025-12-01", _op="d"),
            customer("c2", "2026-01-01", city="B"),
            customer("c2", "2026-01-02", _op="d"),
            customer("c2", "2026-01-03", city="B"),
            customer("c3", "2026-01-03", _op="d"),
        ])
        self.build()
        self.assert_rows("dim_customers", "customer_key, " + self.DIMENSION + ", created_at", sorted([
            (surrogate_key("C1", FIRST), "C1", "A", BEGINNING, at("2026-01-03"), False, False, at("2026-01-01")),
            (surrogate_key("C1", "2026-01-03 00:00:00.000000"),
             "C1", None, at("2026-01-03"), at("2026-01-05 06:07:08.9"), False, False, None),
            (surrogate_key("C1", "2026-01-05 06:07:08.900000"),
             "C1", "A", at("2026-01-05 06:07:08.9"), FOREVER, True, False, None),
            (surrogate_key("C2", FIRST), "C2", "B", BEGINNING, at("2026-01-02"), False, False, None),
            (surrogate_key("C2", "2026-01-03 00:00:00.000000"),
             "C2", "B", at("2026-01-03"), FOREVER, True, False, None),
        ]))

    def test_a_member_nobody_described_is_inferred_until_it_arrives(self) -> None:
        self.lake.land(1, "orders", [order("o1", "2026-01-10", customer_id="c1"),
                                     order("o2", "2026-01-10", customer_id="c2")])
        self.lake.land(1, "customers", [customer("c2", "2026-01-01", _op="d")])
        self.lake.land(1, "order_items", [item("i1", "not-arrived", product_id="p1")])
        self.build()
        self.assert_rows("dim_customers", "customer_key, " + self.DIMENSION + ", marketing_opt_in", sorted([
            (surrogate_key("C1", FIRST), "C1", None, BEGINNING, FOREVER, True, True, None),
            (surrogate_key("C2", FIRST), "C2", None, BEGINNING, FOREVER, True, True, None),
        ]))
        self.assert_rows("dim_products", "product_id, name, is_active, is_current, is_inferred", [
            ("P1", None, None, True, True),
        ])
        self.lake.land(2, "customers", [customer("c1", "2026-01-20", city="A")])
        self.build()
        self.assert_rows("dim_customers", self.DIMENSION, [
            ("C1", "A", BEGINNING, FOREVER, True, False), ("C2", None, BEGINNING, FOREVER, True, True),
        ])


class Facts(OracleTest):
    def test_dimension_rows_are_those_at_the_time_of_the_order(self) -> None:
        self.lake.land(1, "products", [
            product("p1", "2026-01-05", category="old", unit_cost="0.10"),
            product("p1", "2026-01-10", category="new", unit_cost="0.20"),
            product("p1", "2026-01-15", _op="d"),
            product("p1", "2026-01-20", category="back"),
        ])
        moments = {"o1": "1899-12-31 23:59:59.999999", "o2": "1900-01-01", "o3": "2026-01-09T23:59:59",
                   "o4": "2026-01-10", "o5": "2026-01-17", "o6": "2026-01-20"}
        self.lake.land(1, "orders", [order(name, "2026-02-01", ordered_at=moment)
                                     for name, moment in moments.items()])
        self.lake.land(1, "order_items", [item("i" + name[1], name, quantity=3, unit_price="1.005",
                                               discount_amount="0.50") for name in moments])
        self.build()
        first = surrogate_key("P1", FIRST)
        second = surrogate_key("P1", "2026-01-10 00:00:00.000000")
        third = surrogate_key("P1", "2026-01-20 00:00:00.000000")
        self.assert_rows(
            "fact_order_items",
            "order_id, order_date_key, product_key, gross_amount, net_amount, cost_amount, margin_amount",
            [
                ("O1", 18991231, None, Decimal("3.03"), Decimal("2.53"), None, None),
                ("O2", 19000101, first, Decimal("3.03"), Decimal("2.53"), Decimal("0.30"), Decimal("2.23")),
                ("O3", 20260109, first, Decimal("3.03"), Decimal("2.53"), Decimal("0.30"), Decimal("2.23")),
                ("O4", 20260110, second, Decimal("3.03"), Decimal("2.53"), Decimal("0.60"), Decimal("1.93")),
                ("O5", 20260117, second, Decimal("3.03"), Decimal("2.53"), Decimal("0.60"), Decimal("1.93")),
                ("O6", 20260120, third, Decimal("3.03"), Decimal("2.53"), None, None),
            ],
        )
        inferred = surrogate_key("C1", FIRST)
        self.assert_rows("fact_orders", "order_id, customer_key",
                         [("O1", None)] + [(f"O{number}", inferred) for number in range(2, 7)])
        self.assert_rows("daily_sales", "order_date_key, category, margin_amount", [
            (18991231, "(unknown)", None), (19000101, "old", Decimal("2.23")), (20260109, "old", Decimal("2.23")),
            (20260110, "new", Decimal("1.93")), (20260117, "new", Decimal("1.93")), (20260120, "back", None),
        ])

    def test_an_order_sums_its_items_payments_and_shipments(self) -> None:
        self.lake.land(1, "orders", [
            order("o1", "2026-01-11", ordered_at="2026-01-10T23:59:59Z", discount_amount="1.00",
                  shipping_amount="4.90", shipping_country="de", currency="eur"),
            order("o2", "2026-01-11", discount_amount="0.01"),
            order("o3", "2026-01-11", _op="d"),
        ])
        self.lake.land(1, "order_items", [
            item("i1", "o1", quantity=2, unit_price="10.00", discount_amount="0.90"),
            item("i2", "o1", quantity=1, unit_price="5.00"),
            item("i3", "o3"), item("i4", "o4"),
        ])
        self.lake.land(1, "payments", [
            payment("p1", "o1", amount="30.00", paid_at="2026-01-12"),
            payment("p2", "o1", amount="2.00", payment_status="Refunded"),
            payment("p3", "o1", amount="99.00", payment_status="failed", paid_at="2026-01-11"),
            payment("p4", "o3"),
        ])
        self.lake.land(1, "shipments", [
            shipment("s1", "o1", shipped_at="2026-01-11T00:00:00Z", delivered_at="2026-01-13T00:00:01Z",
                     carrier=" DHL "),
            shipment("s2", "o1", shipped_at="2026-01-11T23:59:59Z", delivered_at="2026-01-14T00:00:00+02:00"),
            shipment("s3", "o4"),
        ])
        self.build()
        # 25.00 gross - 0.90 - 1.00 + 4.90 = 28.00 = 30.00 captured - 2.00 refunded
        self.assert_rows("fact_orders", "* EXCLUDE (customer_key)", [
            ("O1", 20260110, "placed", "EUR", "DE", at("2026-01-10 23:59:59"), 2, 3, Decimal("25.00"),
             Decimal("0.90"), Decimal("1.00"), Decimal("4.90"), Decimal("28.00"), 3, Decimal("28.00"),
             at("2026-01-11"), 2, at("2026-01-11"), at("2026-01-13 22:00"), 1, 3, True),
            ("O2", 20260110, "placed", None, None, at("2026-01-10"), 0, 0, Decimal("0.00"),
             Decimal("0.00"), Decimal("0.01"), Decimal("0.00"), Decimal("-0.01"), 0, Decimal("0.00"),
             None, 0, None, None, None, None, True),
        ])
        key = surrogate_key("C1", FIRST)
        self.assert_rows("fact_payments", "*", [
            ("P1", "O1", key, 20260112, None, "captured", Decimal("30.00"), at("2026-01-12")),
            ("P2", "O1", key, None, None, "refunded", Decimal("2.00"), None),
            ("P3", "O1", key, 20260111, None, "failed", Decimal("99.00"), at("2026-01-11")),
        ])
        self.assert_rows("fact_shipments", "*", [
            ("S1", "O1", key, 20260111, 20260113, "DHL", None,
             at("2026-01-11"), at("2026-01-13 00:00:01"), 2),
            ("S2", "O1", key, 20260111, 20260113, None, None,
             at("2026-01-11 23:59:59"), at("2026-01-13 22:00"), 2),
        ])
        self.assert_rows("fact_order_items", "order_item_id", [("I1",), ("I2",)])

    def test_sales_and_lifetime_leave_out_cancelled_orders(self) -> None:
        self.lake.land(1, "products", [product("p1", "2026-01-01", category="(unknown)", unit_cost="0.25"),
                                       product("p2", "2026-01-01", category="books")])
        self.lake.land(1, "orders", [
            order("o1", "2026-01-11", customer_id="c1"),
            order("o2", "2026-01-11", customer_id="c1", ordered_at="2026-01-12"),
            order("o3", "2026-01-11", customer_id="c2", order_status="Canceled"),
            order("o4", "2026-01-11", customer_id="c3", discount_amount="0.01"),
            order("o5", "2026-01-11", customer_id="c3", ordered_at="2026-01-09"),
        ])
        self.lake.land(1, "order_items", [
            item("i1", "o1", product_id="p1", quantity=2, unit_price="5.00"),
            item("i2", "o1", product_id="inferred", unit_price="0.01"),
            item("i3", "o1", product_id="p2", unit_price="1.00"),
            item("i4", "o2", product_id="p2", unit_price="8.00"),
            item("i5", "o3", product_id="p2", unit_price="7.00"),
        ])
        self.build()
        self.assert_rows("daily_sales", "*", [
            # The item without a category falls in with the category of that name: 10.01 net, 9.50 known margin.
            (20260110, "(unknown)", "(unknown)", 1, 3, Decimal("10.01"), Decimal("10.01"), Decimal("9.50")),
            (20260110, "books", "(unknown)", 1, 1, Decimal("1.00"), Decimal("1.00"), None),
            (20260112, "books", "(unknown)", 1, 1, Decimal("8.00"), Decimal("8.00"), None),
        ])
        # (11.01 + 8.00) / 2 = 9.505 and (-0.01 + 0.00) / 2 = -0.005, both away from zero.
        self.assert_rows("customer_lifetime", "*", [
            ("C1", 2, at("2026-01-10"), at("2026-01-12"), Decimal("19.01"), Decimal("9.51")),
            ("C3", 2, at("2026-01-09"), at("2026-01-10"), Decimal("-0.01"), Decimal("-0.01")),
        ])

    def test_dates_have_iso_weeks(self) -> None:
        self.build()
        self.assert_rows("dim_date", "count(*), min(date_key), max(date_key)", [(7670, 20150101, 20351231)])
        self.assert_rows("(FROM dim_date WHERE date_key = 20210103)", "*", [
            (20210103, datetime.date(2021, 1, 3), 2021, 1, 1, "January", 53, 3, 7, "Sunday", True),
        ])


class Comparison(OracleTest):
    def export(self) -> Path:
        self.lake.land(1, "customers", [customer("c1", "2026-01-01"), customer("c2", "2026-01-01")] * 2 + [{}])
        self.build()
        exported = self.root / "export"
        for table in oracle.TABLES:
            (exported / table).mkdir(parents=True)
            self.write(exported, table, f"FROM {table}")
        return exported

    def write(self, exported: Path, table: str, query: str) -> None:
        rows = self.connection.sql(query).to_arrow_table()
        for index, field in enumerate(rows.schema):
            if pyarrow.types.is_timestamp(field.type):
                zoned = rows.column(index).cast(pyarrow.timestamp("us", "UTC"))
                rows = rows.set_column(index, field.name, zoned)
        pyarrow.parquet.write_table(rows, exported / table / "part-0.parquet")

    def verdict(self, exported: Path, table: str) -> bool:
        return compare.compare_table(self.connection, table, exported)

    def test_equal_tables_pass_and_every_kind_of_difference_fails(self) -> None:
        exported = self.export()
        for table in oracle.TABLES:
            self.assertTrue(self.verdict(exported, table), table)
        for query in [
            "FROM customers_cleaned LIMIT 1",
            "FROM customers_cleaned UNION ALL FROM customers_cleaned",
            "SELECT * REPLACE ('x' AS city) FROM customers_cleaned",
            "SELECT * REPLACE (1 AS city) FROM customers_cleaned",
            "SELECT * REPLACE (customer_id || ' ' AS customer_id) FROM customers_cleaned",
            "SELECT * EXCLUDE (phone) FROM customers_cleaned",
            "SELECT *, 1 AS surplus FROM customers_cleaned",
        ]:
            self.write(exported, "customers_cleaned", query)
            self.assertFalse(self.verdict(exported, "customers_cleaned"), query)
        self.write(exported, "customers_quarantine", "SELECT * REPLACE (1 AS position) FROM customers_quarantine")
        self.assertFalse(self.verdict(exported, "customers_quarantine"))
        (exported / "fact_orders" / "part-0.parquet").unlink()
        self.assertFalse(self.verdict(exported, "fact_orders"))

    def test_accounting_is_compared_term_by_term(self) -> None:
        self.export()
        file = self.root / "accounting.json"
        file.write_text(json.dumps(self.accounting))
        self.assertTrue(compare.compare_accounting(self.accounting, file))
        self.accounting["customers"]["superseded"] += 1
        self.assertFalse(compare.compare_accounting(self.accounting, file))


if __name__ == "__main__":
    unittest.main(buffer=True)
