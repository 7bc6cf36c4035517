"""Silver as SQL: cleaned rows, history, tombstones, quarantine and the row accounting of each entity.

`create(connection, entity)` expects a table `<entity>_raw` with one row a record: `arrival` (its place in
the order of arrival over the whole lake), `batch`, `path`, `position`, `readable`, and the text of each
column under its own name.
"""

from dataclasses import dataclass

import duckdb

KINDS = {
    "email": "email",
    "country": "code",
    "shipping_country": "code",
    "currency": "code",
    "order_status": "status",
    "payment_status": "status",
    "payment_method": "status",
    "shipment_status": "status",
    "unit_price": "money",
    "unit_cost": "money",
    "discount_amount": "money",
    "shipping_amount": "money",
    "amount": "money",
    "quantity": "count",
    "marketing_opt_in": "flag",
    "is_active": "flag",
}
DEFAULTS = {
    "discount_amount": "CAST(0 AS DECIMAL(18, 2))",
    "shipping_amount": "CAST(0 AS DECIMAL(18, 2))",
    "marketing_opt_in": "false",
    "is_active": "true",
}


def kind(column: str) -> str:
    if column.endswith("_id"):
        return "identifier"
    if column.endswith("_at"):
        return "timestamp"
    return KINDS.get(column, "text")


@dataclass(frozen=True)
class Entity:
    name: str
    columns: list[str]
    """The business key comes first."""
    required: list[str]
    """Besides the key and `updated_at`."""
    has_history: bool = False

    @property
    def key(self) -> str:
        return self.columns[0]

    @property
    def tables(self) -> list[str]:
        versions = ["cleaned_history", "cleaned_tombstones"] if self.has_history else []
        return [f"{self.name}_{suffix}" for suffix in ["cleaned", *versions, "quarantine"]]


ENTITIES = [
    Entity(
        "customers",
        "customer_id email first_name last_name phone country city postal_code marketing_opt_in"
        " created_at updated_at".split(),
        required=[],
        has_history=True,
    ),
    Entity(
        "products",
        "product_id name category brand unit_price unit_cost currency is_active created_at"
        " updated_at".split(),
        required=["name"],
        has_history=True,
    ),
    Entity(
        "orders",
        "order_id customer_id order_status currency shipping_country discount_amount"
        " shipping_amount ordered_at updated_at".split(),
        required=["customer_id", "ordered_at", "order_status"],
    ),
    Entity(
        "order_items",
        "order_item_id order_id product_id quantity unit_price discount_amount updated_at".split(),
        required=["order_id", "product_id", "quantity", "unit_price"],
    ),
    Entity(
        "payments",
        "payment_id order_id payment_method payment_status amount paid_at updated_at".split(),
        required=["order_id", "amount", "payment_status"],
    ),
    Entity(
        "shipments",
        "shipment_id order_id carrier tracking_number shipment_status shipped_at delivered_at"
        " updated_at".split(),
        required=["order_id"],
    ),
]


def create(connection: duckdb.DuckDBPyConnection, entity: Entity) -> dict[str, int]:
    """Makes the silver tables of one entity and returns its row accounting."""
    for statement in statements(entity):
        connection.execute(statement)
    return connection.sql(accounting_query(entity)).to_arrow_table().to_pylist()[0]


def statements(entity: Entity) -> list[str]:
    name, key = entity.name, entity.key
    columns = ", ".join(entity.columns)
    made = [
        parsed_statement(entity),
        f"""CREATE TABLE {name}_quarantine AS
            SELECT '{name}' AS entity, batch, path, position, reasons
            FROM {name}_parsed WHERE len(reasons) > 0""",
        f"""CREATE TABLE {name}_valid AS
            SELECT arrival, operation = 'd' AS is_delete, {columns}
            FROM {name}_parsed WHERE len(reasons) = 0""",
        f"""CREATE TABLE {name}_winners AS
            SELECT * FROM {name}_valid
            QUALIFY row_number() OVER (
                PARTITION BY {key} ORDER BY updated_at DESC, arrival DESC) = 1""",
        f"CREATE TABLE {name}_cleaned AS SELECT {columns} FROM {name}_winners WHERE NOT is_delete",
    ]
    if entity.has_history:
        made += [
            f"""CREATE TABLE {name}_events AS
                SELECT * FROM {name}_valid
                QUALIFY row_number() OVER (
                    PARTITION BY {key}, updated_at ORDER BY arrival DESC) = 1""",
            f"""CREATE TABLE {name}_cleaned_history AS
                SELECT {columns} FROM {name}_events WHERE NOT is_delete""",
            f"""CREATE TABLE {name}_cleaned_tombstones AS
                SELECT {key}, updated_at FROM {name}_events WHERE is_delete""",
        ]
    return made


def parsed_statement(entity: Entity) -> str:
    """Text to clean values, and every reason why a record cannot be used."""
    standard = ",\n".join(f"standard({column}) AS {column}" for column in entity.columns)
    parsed = ",\n".join(
        f"text.{column} AS {column}_text, parse_{kind(column)}(text.{column}) AS {column}_value"
        for column in entity.columns
    )
    reasons = ",\n".join(reason_expressions(entity))
    values = ",\n".join(
        f"coalesce({column}_value, {DEFAULTS[column]}) AS {column}"
        if column in DEFAULTS
        else f"{column}_value AS {column}"
        for column in entity.columns
    )
    return f"""
        CREATE TABLE {entity.name}_parsed AS
        WITH text AS (
            SELECT arrival, batch, path, position, readable,
                   ascii_lower(standard(_op)) AS operation, {standard}
            FROM {entity.name}_raw
        ),
        parsed AS (
            SELECT arrival, batch, path, position, readable,
                   CASE WHEN operation IS NULL OR operation IN ('i', 'c', 'u') THEN 'u'
                        WHEN operation = 'd' THEN 'd' END AS operation,
                   {parsed}
            FROM text
        )
        SELECT arrival, batch, path, position, operation,
               list_filter([{reasons}], lambda reason: reason IS NOT NULL) AS reasons,
               {values}
        FROM parsed"""


def reason_expressions(entity: Entity) -> list[str]:
    """One expression a rule: the reason why a record breaks it, or NULL."""
    identity = [entity.key, "updated_at"]

    def reason(column: str, broken: str, text: str) -> str:
        looked_at = "readable" if column in identity else "readable AND operation IS DISTINCT FROM 'd'"
        return f"CASE WHEN {looked_at} AND ({broken}) THEN '{column}: {text}' END"

    reasons = [
        "CASE WHEN NOT readable THEN 'unreadable' END",
        "CASE WHEN readable AND operation IS NULL THEN '_op: unknown' END",
    ]
    for column in [*identity, *entity.required]:
        reasons.append(reason(column, f"{column}_text IS NULL", "missing"))
    for column in entity.columns:
        broken = f"{column}_text IS NOT NULL AND {column}_value IS NULL"
        reasons.append(reason(column, broken, "does not parse"))
        if kind(column) == "money":
            reasons.append(reason(column, f"{column}_value < 0", "negative"))
        if kind(column) == "count":
            reasons.append(reason(column, f"{column}_value < 1", "below one"))
    return reasons


def accounting_query(entity: Entity) -> str:
    """Counts each term from its own rows, so that the sum proves something."""
    name, key = entity.name, entity.key
    return f"""
        SELECT (SELECT count(*) FROM {name}_raw) AS raw,
               (SELECT count(*) FROM {name}_cleaned) AS current,
               (SELECT count(*) FROM {name}_valid AS loser
                ANTI JOIN {name}_winners AS winner USING (arrival)) AS superseded,
               (SELECT count(*) FROM {name}_winners WHERE is_delete) AS tombstones,
               (SELECT count(*) FROM {name}_quarantine) AS quarantined"""
