#!/usr/bin/env python3
"""The wire server as others see it: psycopg, AWS's redshift_connector, and psql.

Needs a server over the reference warehouse's gold tables, psql on the path, and
    pip install 'psycopg[binary]' redshift_connector
Usage
    wire.py --port 5439 --database NAME [--user U --password P] [--advance COMMAND]
COMMAND publishes one more snapshot; with it, transactions are checked to read one snapshot.
Every check is on its own; the exit code is the number of those that failed.
"""

import argparse
import datetime
import decimal
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import psycopg
import redshift_connector

LONG = """select count(*) from fact_order_items a, fact_order_items b, fact_order_items c
          where a.net_amount * b.net_amount < c.net_amount"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=5439)
parser.add_argument("--database", required=True)
parser.add_argument("--user", default="smelt")
parser.add_argument("--password")
parser.add_argument("--advance", help="a command that publishes one more snapshot")
parser.add_argument("--only", help="run the checks whose names contain this")
args = parser.parse_args()

checks = []


def check(function):
    checks.append(function)
    return function


def pg(**options):
    return psycopg.connect(
        host=args.host, port=args.port, dbname=args.database, user=args.user, password=args.password,
        autocommit=options.pop("autocommit", True), **options,
    )


def redshift():
    return redshift_connector.connect(
        host=args.host, port=args.port, database=args.database, user=args.user, password=args.password or "", ssl=False
    )


def psql(*commands, fails=False):
    environment = dict(os.environ, PGPASSWORD=args.password or "", PGCONNECT_TIMEOUT="10")
    line = ["psql", "-X", "-h", args.host, "-p", str(args.port), "-U", args.user, "-d", args.database, "-v", "VERBOSITY=verbose"]
    for command in commands:
        line += ["-c", command]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)
    # psql's own commands fail without an exit code.
    failed = done.returncode != 0 or "ERROR" in done.stderr
    assert fails in (None, failed), f"{commands}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def fails(state, run):
    try:
        run()
    except psycopg.Error as error:
        assert error.sqlstate == state, f"{error.sqlstate} instead of {state}: {error}"
        return error
    raise AssertionError(f"nothing failed, {state} was expected")


@check
def psycopg_reads_python_values():
    with pg() as connection:
        assert connection.info.server_version >= 150000
        columns = "order_id, order_date_key, customer_key, item_count, net_amount, is_paid_in_full, ordered_at"
        for binary in (False, True):
            rows = connection.cursor(binary=binary).execute(f"select {columns} from fact_orders order by order_id").fetchall()
            assert rows, "fact_orders is empty"
            kinds = (str, int, str, int, decimal.Decimal, bool, datetime.datetime)
            for row in rows:
                for value, kind in zip(row, kinds):
                    assert value is None or isinstance(value, kind), (row, kind)
                assert row[6] is None or row[6].tzinfo is None, "a timestamp has a zone"
        total = connection.execute("select sum(net_amount) from fact_orders").fetchone()[0]
        assert total == sum(row[4] for row in rows if row[4] is not None), "a decimal lost digits"


@check
def psycopg_binds_parameters():
    with pg() as connection:
        order, at, amount = connection.execute(
            "select order_id, ordered_at, net_amount from fact_orders where net_amount > 0 order by order_id limit 1"
        ).fetchone()
        one = lambda sql, *values: connection.execute(sql, values).fetchone()[0]
        assert one("select count(*) from fact_orders where order_id = %s", order) == 1
        assert one("select count(*) from fact_orders where order_id = %s and ordered_at = %s", order, at) == 1
        assert one("select count(*) from fact_orders where order_id = %s and net_amount = %s", order, amount) == 1
        assert one("select count(*) from fact_orders where order_id = %s and net_amount > %s", order, -1) == 1
        assert one("select count(*) from fact_orders where order_id = %s and net_amount < %s", order, 0.5 - 1) == 0
        assert one("select count(*) from dim_date where date = %s", datetime.date(2024, 1, 5)) == 1
        assert one("select count(*) from fact_orders where shipping_country = %s", None) == 0
        assert one("select coalesce(%s::varchar, 'x')", None) == "x"
        assert one("select %s::int + 1", 41) == 42
        assert one("select %s::decimal(18,2)", decimal.Decimal("12.34")) == decimal.Decimal("12.34")
        assert connection.execute("select order_id from fact_orders order by 1 limit %s", (3,)).fetchall().__len__() == 3
        assert one("select %s", "it's; -- quoted $1") == "it's; -- quoted $1"
        assert one("select count(*) from fact_orders where is_paid_in_full = %s or is_paid_in_full = %s", True, False) > 0


@check
def psycopg_prepares_statements_and_runs_them_again():
    with pg() as connection:
        counts = {
            connection.execute("select count(*) from dim_date where date_key > %s", (key,), prepare=True).fetchone()[0]
            for key in (20240101, 20240110, 20240120)
        }
        assert len(counts) == 3, counts
        connection.execute("deallocate all")
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (number,)) for number in range(20)]
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))


@check
def psycopg_fetches_through_a_cursor_on_the_server():
    with pg(autocommit=False) as connection:
        count = connection.execute("select count(*) from fact_orders").fetchone()[0]
        with connection.cursor(name="all of it") as cursor:
            cursor.execute("select order_id, net_amount from fact_orders order by order_id")
            first = cursor.fetchmany(7)
            rest = cursor.fetchall()
        assert len(first) == min(7, count) and len(first) + len(rest) == count


@check
def errors_have_states_and_hints():
    with pg() as connection:
        error = fails("42P01", lambda: connection.execute("select * from fact_order"))
        assert "fact_orders" in error.diag.message_hint, error.diag.message_hint
        error = fails("42703", lambda: connection.execute("select net_amont from fact_orders"))
        assert "net_amount" in error.diag.message_hint
        fails("42601", lambda: connection.execute("selec 1"))
        fails("22012", lambda: connection.execute("select 1/(net_amount - net_amount) from fact_orders where net_amount > 0"))
        fails("22P02", lambda: connection.execute("select * from dim_date where date_key = %s", ("x",)))
        assert connection.execute("select 1").fetchone() == (1,)


@check
def nothing_can_be_changed():
    with pg() as connection:
        for sql, state in [
            ("insert into fact_orders select * from fact_orders", "25006"),
            ("update fact_orders set order_id = 'x'", "25006"),
            ("delete from fact_orders", "25006"),
            ("create table t as select 1", "25006"),
            ("create external table t stored as csv location '/etc/passwd'", "25006"),
            ("drop table fact_orders", "25006"),
            ("copy fact_orders to '/tmp/x'", "42501"),
            ("set datafusion.execution.batch_size = 1", "42501"),
            ("select * from '/etc/passwd'", "42P01"),
            ("select * from information_schema.df_settings", "42501"),
        ]:
            fails(state, lambda: connection.execute(sql))
        fails("42501", lambda: connection.cursor().copy("copy fact_orders to stdout").__enter__())
        fails("42501", lambda: connection.cursor().copy("copy fact_orders from stdin").__enter__())


@check
def settings_drivers_use_are_taken():
    with pg() as connection:
        for sql in ["set extra_float_digits = 3", "set application_name = 'wire'", "set time zone 'Europe/Berlin'",
                    "set client_encoding to 'UTF8'", "set session characteristics as transaction read only", "discard all"]:
            connection.execute(sql)
        assert connection.execute("show server_version").fetchone()[0].replace(".", "").isdigit()
        assert connection.execute("show transaction isolation level").fetchone() == ("repeatable read",)
        assert connection.execute("select current_schema()").fetchone() == ("gold",)
        assert connection.execute("select current_database()").fetchone() == (args.database,)
        assert "PostgreSQL" in connection.execute("select version()").fetchone()[0]
        assert len(connection.execute("show tables").fetchall()) >= 5


@check
def transactions_fail_and_roll_back():
    with pg(autocommit=False) as connection:
        fails("42P01", lambda: connection.execute("select * from nothing_here"))
        fails("25P02", lambda: connection.execute("select 1"))
        connection.rollback()
        assert connection.execute("select 1").fetchone() == (1,)
        fails("0A000", lambda: connection.execute("savepoint a"))


@check
def a_transaction_reads_one_snapshot():
    if not args.advance:
        return "needs --advance"
    # Facts are compared as a whole, so that any published change shows.
    facts = "select count(*), max(snapshot) from published" if has_published() else "select count(*), sum(net_amount) from fact_orders"
    with pg(autocommit=False) as pinned, pg() as free:
        before = pinned.execute(facts).fetchone()
        subprocess.run(args.advance, shell=True, check=True)
        time.sleep(0.5)
        assert free.execute(facts).fetchone() != before, "the new snapshot is not seen"
        assert pinned.execute(facts).fetchone() == before, "a transaction saw two snapshots"
        pinned.commit()
        assert pinned.execute(facts).fetchone() == free.execute(facts).fetchone()


def has_published():
    with pg() as connection:
        return connection.execute("select count(*) from information_schema.tables where table_name = 'published'").fetchone()[0] == 1


@check
def a_statement_can_be_cancelled():
    with pg() as connection:
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        begun = time.monotonic()
        fails("57014", lambda: connection.execute(LONG))
        assert time.monotonic() - begun < 5
        assert connection.execute("select 1").fetchone() == (1,)


@check
def a_statement_runs_out_of_time():
    with pg() as connection:
        connection.execute("set statement_timeout = '300ms'")
        begun = time.monotonic()
        fails("57014", lambda: connection.execute(LONG))
        assert time.monotonic() - begun < 3
        connection.execute("reset statement_timeout")
        assert connection.execute("select 1").fetchone() == (1,)


@check
def a_client_killed_amid_its_rows_harms_nobody():
    line = [sys.executable, "-c", f"""
import psycopg, sys
c = psycopg.connect(host={args.host!r}, port={args.port}, dbname={args.database!r}, user={args.user!r}, password={args.password!r})
cur = c.cursor()
for row in cur.stream("select a.order_id, b.order_id from fact_orders a, fact_orders b"):
    print(row, flush=True)
"""]
    for _ in range(3):
        child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with pg() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@check
def wrong_passwords_and_users_are_refused():
    if not args.password:
        return "the server asks for no password"
    for user, password in [(args.user, args.password + "x"), (args.user, ""), ("nobody", args.password)]:
        try:
            psycopg.connect(host=args.host, port=args.port, dbname=args.database, user=user, password=password).close()
        except psycopg.OperationalError as error:
            assert "assword" in str(error), error
        else:
            raise AssertionError(f"{user} was let in")
    try:
        redshift_connector.connect(host=args.host, port=args.port, database=args.database, user=args.user, password="no", ssl=False)
    except redshift_connector.Error as error:
        assert "28P01" in str(error), error
    else:
        raise AssertionError("redshift_connector was let in")


@check
def a_database_that_is_not_there_is_refused():
    try:
        psycopg.connect(host=args.host, port=args.port, dbname="no_such", user=args.user, password=args.password).close()
    except psycopg.OperationalError as error:
        assert args.database in str(error), error
    else:
        raise AssertionError("connected to a database that is not there")


@check
def redshift_connector_reads_and_binds():
    with redshift() as connection:
        with connection.cursor() as cursor:
            cursor.execute("select order_id, order_date_key, net_amount, is_paid_in_full, ordered_at from fact_orders order by 1 limit 5")
            names = [column[0] for column in cursor.description]
            assert names == ["order_id", "order_date_key", "net_amount", "is_paid_in_full", "ordered_at"], names
            rows = cursor.fetchall()
            for row, kinds in ((row, (str, int, decimal.Decimal, bool, datetime.datetime)) for row in rows):
                for value, kind in zip(row, kinds):
                    assert value is None or isinstance(value, kind), (row, kind)
            order, amount, at = rows[0][0], rows[0][2], rows[0][4]
            for clause, value in [("order_id", order), ("net_amount", amount), ("ordered_at", at)]:
                cursor.execute(f"select count(*) from fact_orders where order_id = %s and {clause} = %s", (order, value))
                assert cursor.fetchone()[0] == 1, (clause, value)
            cursor.execute("select count(*) from dim_date where date_key >= %s", (20240101,))
            assert cursor.fetchone()[0] > 0
            cursor.execute("select order_id from fact_orders order by 1")
            assert len(cursor.fetchmany(3)) == 3
        connection.commit()
        with connection.cursor() as cursor:
            try:
                cursor.execute("select * from fact_order")
            except redshift_connector.ProgrammingError as error:
                assert "42P01" in str(error) and "fact_orders" in str(error), error
            else:
                raise AssertionError("an unknown table was found")
            connection.rollback()
            cursor.execute("select 1")
            assert list(cursor.fetchone()) == [1]
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from staging.orders_cleaned")
            assert cursor.fetchone()[0] >= 0


@check
def redshift_functions_take_bare_date_parts():
    with pg() as connection:
        sql = "select datediff(day, '2024-01-31'::timestamp, '2024-02-02'::timestamp), dateadd(month, 1, '2024-01-31'::timestamp)"
        try:
            row = connection.execute(sql).fetchone()
        except psycopg.errors.UndefinedFunction:
            return "the engine has no Redshift functions"
        except psycopg.errors.UndefinedColumn:
            return "the engine has no Redshift functions"
        assert row == (2, datetime.datetime(2024, 2, 29)), row


@check
def psql_lists_and_describes():
    listed = psql("\\dt")
    for table in ("fact_orders", "dim_customers", "orders_cleaned", "gold", "staging"):
        assert table in listed, listed
    assert "fact_orders" in psql("\\dt gold.*") and "orders_cleaned" not in psql("\\dt gold.*")
    described = psql("\\d fact_orders")
    for text in ("order_id", "net_amount", "timestamp without time zone", "numeric", "bigint", "boolean"):
        assert text in described, described
    assert "customer_id" in psql("\\d staging.orders_cleaned")
    assert "order_id" in psql("\\d+ fact_orders")
    assert args.database in psql("\\l")
    names = psql("\\dn")
    assert "gold" in names and "staging" in names, names
    for command in ("\\du", "\\dt+", "\\l+", "\\dn+", "\\dv", "\\df"):
        psql(command)
    # Newer psql fails over it, older ones do not.
    assert "Did not find" in psql("\\d no_such_table", fails=None)


@check
def psql_asks_and_fails_well():
    out = psql("select o.order_id, o.ordered_at, i.quantity from fact_orders o join fact_order_items i using (order_id) limit 2")
    assert "(2 rows)" in out, out
    out = psql("select * from fact_order", fails=True)
    assert "42P01" in out and "HINT" in out and "fact_orders" in out, out
    out = psql("delete from fact_orders", fails=True)
    assert "25006" in out, out
    out = psql("\\copy fact_orders to '/dev/null'", fails=True)
    assert "42501" in out, out
    assert "WARNING" not in psql("\\conninfo", "select 1")
    explained = psql("explain select count(*) from fact_orders")
    assert "plan" in explained.lower(), explained


def main():
    failed = 0
    for function in checks:
        if args.only and args.only not in function.__name__:
            continue
        try:
            skipped = function()
            print(f"{'skip' if skipped else 'ok  '} {function.__name__}{f' ({skipped})' if skipped else ''}", flush=True)
        except Exception:  # each check is on its own
            failed += 1
            print(f"FAIL {function.__name__}")
            traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
