-- The star schema, from temporary tables of the cleaned rows. What several tables need is a table, the rest is a view
-- that is evaluated once, when it is written. `seek_from` and `seek_to` bound the moments at which a version is the one
-- to look up: unlike `valid_to`, they leave no gaps.

CREATE MACRO date_key(instant) AS
    CAST(year(instant) * 10000 + month(instant) * 100 + day(instant) AS INTEGER);

CREATE MACRO surrogate_key(business_key, valid_from) AS
    md5(business_key || '|' || strftime(valid_from, '%Y-%m-%d %H:%M:%S.%f'));

CREATE TEMP VIEW dim_date AS
SELECT
    date_key(day) AS date_key, CAST(day AS DATE) AS date,
    CAST(year(day) AS INTEGER) AS year, CAST(quarter(day) AS INTEGER) AS quarter,
    CAST(month(day) AS INTEGER) AS month, monthname(day) AS month_name,
    CAST(week(day) AS INTEGER) AS week_of_year, CAST(day(day) AS INTEGER) AS day_of_month,
    CAST(isodow(day) AS INTEGER) AS day_of_week, dayname(day) AS day_name, isodow(day) >= 6 AS is_weekend
FROM generate_series(TIMESTAMP '2015-01-01', TIMESTAMP '2035-12-31', INTERVAL 1 DAY) AS days(day);

CREATE TEMP TABLE customer_versions AS
WITH neighbours AS (
    SELECT
        *,
        lag(is_delete, 1, true) OVER in_time AS follows_delete,
        lag((email, first_name, last_name, country, city, postal_code, marketing_opt_in)) OVER in_time AS before
    FROM customers_events
    WINDOW in_time AS (PARTITION BY customer_id ORDER BY updated_at)
),
spans AS (
    SELECT
        * EXCLUDE (before),
        row_number() OVER in_time = 1 AS is_first,
        lead(updated_at) OVER in_time AS ended_at
    FROM neighbours
    WHERE CASE
        WHEN follows_delete THEN NOT is_delete
        ELSE is_delete
            OR (email, first_name, last_name, country, city, postal_code, marketing_opt_in) IS DISTINCT FROM before
    END
    WINDOW in_time AS (PARTITION BY customer_id ORDER BY updated_at)
),
versions AS (
    SELECT
        *,
        CASE WHEN is_first THEN TIMESTAMP '1900-01-01' ELSE updated_at END AS valid_from,
        coalesce(ended_at, TIMESTAMP '9999-12-31') AS valid_to,
        ended_at IS NULL AS is_current,
        false AS is_inferred
    FROM spans
    WHERE NOT is_delete
)
SELECT
    surrogate_key(customer_id, valid_from) AS customer_key, customer_id, email, first_name, last_name, country, city,
    postal_code, marketing_opt_in, created_at, valid_from, valid_to, is_current, is_inferred,
    valid_from AS seek_from,
    lead(valid_from, 1, TIMESTAMP 'infinity') OVER (PARTITION BY customer_id ORDER BY valid_from) AS seek_to
FROM versions;

INSERT INTO customer_versions BY NAME
SELECT
    surrogate_key(customer_id, TIMESTAMP '1900-01-01') AS customer_key, customer_id,
    TIMESTAMP '1900-01-01' AS valid_from, TIMESTAMP '9999-12-31' AS valid_to,
    true AS is_current, true AS is_inferred,
    TIMESTAMP '1900-01-01' AS seek_from, TIMESTAMP 'infinity' AS seek_to
FROM (SELECT DISTINCT customer_id FROM orders_cleaned ANTI JOIN customer_versions USING (customer_id));

CREATE TEMP VIEW dim_customers AS SELECT * EXCLUDE (seek_from, seek_to) FROM customer_versions;

CREATE TEMP TABLE product_versions AS
WITH neighbours AS (
    SELECT
        *,
        lag(is_delete, 1, true) OVER in_time AS follows_delete,
        lag((name, category, brand, unit_price, unit_cost, is_active)) OVER in_time AS before
    FROM products_events
    WINDOW in_time AS (PARTITION BY product_id ORDER BY updated_at)
),
spans AS (
    SELECT
        * EXCLUDE (before),
        row_number() OVER in_time = 1 AS is_first,
        lead(updated_at) OVER in_time AS ended_at
    FROM neighbours
    WHERE CASE
        WHEN follows_delete THEN NOT is_delete
        ELSE is_delete OR (name, category, brand, unit_price, unit_cost, is_active) IS DISTINCT FROM before
    END
    WINDOW in_time AS (PARTITION BY product_id ORDER BY updated_at)
),
versions AS (
    SELECT
        *,
        CASE WHEN is_first THEN TIMESTAMP '1900-01-01' ELSE updated_at END AS valid_from,
        coalesce(ended_at, TIMESTAMP '9999-12-31') AS valid_to,
        ended_at IS NULL AS is_current,
        false AS is_inferred
    FROM spans
    WHERE NOT is_delete
)
SELECT
    surrogate_key(product_id, valid_from) AS product_key, product_id, name, category, brand, unit_price, unit_cost,
    currency, is_active, valid_from, valid_to, is_current, is_inferred,
    valid_from AS seek_from,
    lead(valid_from, 1, TIMESTAMP 'infinity') OVER (PARTITION BY product_id ORDER BY valid_from) AS seek_to
FROM versions;

INSERT INTO product_versions BY NAME
SELECT
    surrogate_key(product_id, TIMESTAMP '1900-01-01') AS product_key, product_id,
    TIMESTAMP '1900-01-01' AS valid_from, TIMESTAMP '9999-12-31' AS valid_to,
    true AS is_current, true AS is_inferred,
    TIMESTAMP '1900-01-01' AS seek_from, TIMESTAMP 'infinity' AS seek_to
FROM (SELECT DISTINCT product_id FROM order_items_cleaned ANTI JOIN product_versions USING (product_id));

CREATE TEMP VIEW dim_products AS SELECT * EXCLUDE (seek_from, seek_to) FROM product_versions;

CREATE TEMP TABLE keyed_orders AS
SELECT orders.*, date_key(ordered_at) AS order_date_key, customer_key
FROM orders_cleaned AS orders
LEFT JOIN customer_versions AS version
    ON version.customer_id = orders.customer_id AND ordered_at >= seek_from AND ordered_at < seek_to;

CREATE TEMP TABLE sold_items AS
SELECT
    order_item_id, order_id, order_date_key, customer_key, product_key, order_status, ordered_at, quantity,
    items.unit_price,
    CAST(quantity * items.unit_price AS DECIMAL(18, 2)) AS gross_amount,
    items.discount_amount,
    CAST(gross_amount - items.discount_amount AS DECIMAL(18, 2)) AS net_amount,
    CAST(quantity * unit_cost AS DECIMAL(18, 2)) AS cost_amount,
    CAST(net_amount - cost_amount AS DECIMAL(18, 2)) AS margin_amount,
    category, shipping_country, orders.rowid AS order_row
FROM order_items_cleaned AS items
JOIN keyed_orders AS orders USING (order_id)
LEFT JOIN product_versions AS version
    ON version.product_id = items.product_id AND ordered_at >= seek_from AND ordered_at < seek_to;

CREATE TEMP VIEW fact_order_items AS SELECT * EXCLUDE (category, shipping_country, order_row) FROM sold_items;

CREATE TEMP VIEW daily_sales AS
SELECT
    order_date_key,
    coalesce(category, '(unknown)') AS category,
    coalesce(shipping_country, '(unknown)') AS shipping_country,
    count(DISTINCT order_row) AS order_count,
    CAST(sum(quantity) AS BIGINT) AS unit_count,
    CAST(sum(gross_amount) AS DECIMAL(18, 2)) AS gross_amount,
    CAST(sum(net_amount) AS DECIMAL(18, 2)) AS net_amount,
    CAST(sum(margin_amount) AS DECIMAL(18, 2)) AS margin_amount
FROM sold_items
WHERE order_status <> 'cancelled'
GROUP BY ALL;

CREATE TEMP TABLE measured_orders AS
WITH item_sums AS (
    SELECT
        order_row, count(*) AS item_count, CAST(sum(quantity) AS BIGINT) AS unit_count,
        sum(gross_amount) AS gross_amount, sum(discount_amount) AS discount_amount
    FROM sold_items
    GROUP BY order_row
),
payment_sums AS (
    SELECT
        order_id, count(*) AS payment_count, min(paid_at) AS first_paid_at,
        sum(CASE payment_status WHEN 'captured' THEN amount WHEN 'refunded' THEN -amount ELSE 0 END) AS paid_amount
    FROM payments_cleaned
    GROUP BY order_id
),
shipment_sums AS (
    SELECT
        order_id, count(*) AS shipment_count, min(shipped_at) AS first_shipped_at, max(delivered_at) AS delivered_at
    FROM shipments_cleaned
    GROUP BY order_id
)
SELECT
    order_id, order_date_key, customer_key, order_status, currency, shipping_country, ordered_at,
    coalesce(item_count, 0) AS item_count,
    coalesce(unit_count, 0) AS unit_count,
    CAST(coalesce(items.gross_amount, 0) AS DECIMAL(18, 2)) AS gross_amount,
    CAST(coalesce(items.discount_amount, 0) AS DECIMAL(18, 2)) AS item_discount_amount,
    orders.discount_amount AS order_discount_amount,
    shipping_amount,
    CAST(
        coalesce(items.gross_amount, 0) - coalesce(items.discount_amount, 0) - orders.discount_amount + shipping_amount
        AS DECIMAL(18, 2)
    ) AS net_amount,
    coalesce(payment_count, 0) AS payment_count,
    CAST(coalesce(payments.paid_amount, 0) AS DECIMAL(18, 2)) AS paid_amount,
    first_paid_at,
    coalesce(shipment_count, 0) AS shipment_count,
    first_shipped_at,
    delivered_at,
    date_diff('day', ordered_at, first_shipped_at) AS days_to_ship,
    date_diff('day', ordered_at, delivered_at) AS days_to_deliver,
    coalesce(payments.paid_amount, 0) >= net_amount AS is_paid_in_full,
    customer_id
FROM keyed_orders AS orders
LEFT JOIN item_sums AS items ON items.order_row = orders.rowid
LEFT JOIN payment_sums AS payments USING (order_id)
LEFT JOIN shipment_sums AS shipments USING (order_id);

CREATE TEMP VIEW fact_orders AS SELECT * EXCLUDE (customer_id) FROM measured_orders;

CREATE TEMP VIEW fact_payments AS
SELECT
    payment_id, order_id, customer_key, date_key(paid_at) AS paid_date_key, payment_method, payment_status, amount,
    paid_at
FROM payments_cleaned
JOIN keyed_orders USING (order_id);

CREATE TEMP VIEW fact_shipments AS
SELECT
    shipment_id, order_id, customer_key, date_key(shipped_at) AS shipped_date_key,
    date_key(delivered_at) AS delivered_date_key, carrier, shipment_status, shipped_at, delivered_at,
    date_diff('day', shipped_at, delivered_at) AS days_in_transit
FROM shipments_cleaned
JOIN keyed_orders USING (order_id);

-- Half away from zero in whole cents, since division of decimals would go through floating point.
CREATE TEMP VIEW customer_lifetime AS
WITH sums AS (
    SELECT
        customer_id, count(*) AS order_count, min(ordered_at) AS first_ordered_at, max(ordered_at) AS last_ordered_at,
        sum(net_amount) AS net_amount, CAST(sum(net_amount) * 100 AS HUGEINT) AS net_cents
    FROM measured_orders
    WHERE order_status <> 'cancelled'
    GROUP BY customer_id
)
SELECT
    customer_id, order_count, first_ordered_at, last_ordered_at,
    CAST(net_amount AS DECIMAL(18, 2)) AS net_amount,
    CAST(
        CAST(sign(net_cents) * ((abs(net_cents) * 2 + order_count) // (order_count * 2)) AS DECIMAL(20, 0))
        * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)
    ) AS average_order_amount
FROM sums;
