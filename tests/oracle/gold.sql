-- The star schema of the reference warehouse, from the silver tables. Written for clearness, not for speed.

CREATE MACRO date_key(instant) AS CAST(strftime(instant, '%Y%m%d') AS INTEGER);

CREATE MACRO beginning() AS TIMESTAMP '1900-01-01 00:00:00';

CREATE MACRO forever() AS TIMESTAMP '9999-12-31 00:00:00';

CREATE MACRO surrogate_key(business_key, valid_from) AS
    md5(business_key || '|' || timestamp_text(valid_from));

CREATE MACRO as_amount(value) AS CAST(value AS DECIMAL(18, 2));

-- Half away from zero, in whole cents.
CREATE MACRO average_cents(cents, number) AS
    sign(cents) * ((abs(cents) * 2 + number) // (number * 2));

CREATE TABLE dim_date AS
SELECT
    date_key(day) AS date_key,
    CAST(day AS DATE) AS date,
    CAST(year(day) AS INTEGER) AS year,
    CAST(quarter(day) AS INTEGER) AS quarter,
    CAST(month(day) AS INTEGER) AS month,
    monthname(day) AS month_name,
    CAST(week(day) AS INTEGER) AS week_of_year,
    CAST(day(day) AS INTEGER) AS day_of_month,
    CAST(isodow(day) AS INTEGER) AS day_of_week,
    dayname(day) AS day_name,
    isodow(day) >= 6 AS is_weekend
FROM generate_series(TIMESTAMP '2015-01-01', TIMESTAMP '2035-12-31', INTERVAL 1 DAY) AS days(day);

-- Boundaries: the upserts that open a version and the tombstones that close one, in time order. A version
-- ends at the boundary after it, whichever kind that is.
CREATE TABLE customer_versions AS
WITH events AS (
    SELECT false AS is_delete, * FROM customers_cleaned_history
    UNION ALL BY NAME
    SELECT true AS is_delete, * FROM customers_cleaned_tombstones
),
neighbours AS (
    SELECT
        *,
        lag(is_delete) OVER before AS follows_delete,
        lag((email, first_name, last_name, country, city, postal_code, marketing_opt_in)) OVER before
            AS attributes_before
    FROM events
    WINDOW before AS (PARTITION BY customer_id ORDER BY updated_at)
),
boundaries AS (
    SELECT * FROM neighbours
    WHERE CASE
        WHEN is_delete THEN NOT coalesce(follows_delete, true)
        WHEN coalesce(follows_delete, true) THEN true
        ELSE
            email IS DISTINCT FROM attributes_before[1]
            OR first_name IS DISTINCT FROM attributes_before[2]
            OR last_name IS DISTINCT FROM attributes_before[3]
            OR country IS DISTINCT FROM attributes_before[4]
            OR city IS DISTINCT FROM attributes_before[5]
            OR postal_code IS DISTINCT FROM attributes_before[6]
            OR marketing_opt_in IS DISTINCT FROM attributes_before[7]
    END
),
spans AS (
    SELECT
        *,
        row_number() OVER in_time AS ordinal,
        lead(updated_at) OVER in_time AS ended_at
    FROM boundaries
    WINDOW in_time AS (PARTITION BY customer_id ORDER BY updated_at)
)
-- A tombstone is no boundary before the first version, so that the first boundary opens it.
SELECT
    * EXCLUDE (ended_at),
    CASE WHEN ordinal = 1 THEN beginning() ELSE updated_at END AS valid_from,
    coalesce(ended_at, forever()) AS valid_to,
    ended_at IS NULL AS is_current
FROM spans
WHERE NOT is_delete;

CREATE TABLE dim_customers AS
SELECT
    surrogate_key(customer_id, valid_from) AS customer_key,
    customer_id, email, first_name, last_name, country, city, postal_code, marketing_opt_in, created_at,
    valid_from, valid_to, is_current, false AS is_inferred
FROM customer_versions
UNION ALL BY NAME
SELECT
    surrogate_key(customer_id, beginning()) AS customer_key, customer_id,
    beginning() AS valid_from, forever() AS valid_to, true AS is_current, true AS is_inferred
FROM (SELECT DISTINCT customer_id FROM orders_cleaned)
WHERE customer_id NOT IN (SELECT customer_id FROM customer_versions);

CREATE TABLE product_versions AS
WITH events AS (
    SELECT false AS is_delete, * FROM products_cleaned_history
    UNION ALL BY NAME
    SELECT true AS is_delete, * FROM products_cleaned_tombstones
),
neighbours AS (
    SELECT
        *,
        lag(is_delete) OVER before AS follows_delete,
        lag((name, category, brand, unit_price, unit_cost, is_active)) OVER before AS attributes_before
    FROM events
    WINDOW before AS (PARTITION BY product_id ORDER BY updated_at)
),
boundaries AS (
    SELECT * FROM neighbours
    WHERE CASE
        WHEN is_delete THEN NOT coalesce(follows_delete, true)
        WHEN coalesce(follows_delete, true) THEN true
        ELSE
            name IS DISTINCT FROM attributes_before[1]
            OR category IS DISTINCT FROM attributes_before[2]
            OR brand IS DISTINCT FROM attributes_before[3]
            OR unit_price IS DISTINCT FROM attributes_before[4]
            OR unit_cost IS DISTINCT FROM attributes_before[5]
            OR is_active IS DISTINCT FROM attributes_before[6]
    END
),
spans AS (
    SELECT
        *,
        row_number() OVER in_time AS ordinal,
        lead(updated_at) OVER in_time AS ended_at
    FROM boundaries
    WINDOW in_time AS (PARTITION BY product_id ORDER BY updated_at)
)
SELECT
    * EXCLUDE (ended_at),
    CASE WHEN ordinal = 1 THEN beginning() ELSE updated_at END AS valid_from,
    coalesce(ended_at, forever()) AS valid_to,
    ended_at IS NULL AS is_current
FROM spans
WHERE NOT is_delete;

CREATE TABLE dim_products AS
SELECT
    surrogate_key(product_id, valid_from) AS product_key,
    product_id, name, category, brand, unit_price, unit_cost, currency, is_active,
    valid_from, valid_to, is_current, false AS is_inferred
FROM product_versions
UNION ALL BY NAME
SELECT
    surrogate_key(product_id, beginning()) AS product_key, product_id,
    beginning() AS valid_from, forever() AS valid_to, true AS is_current, true AS is_inferred
FROM (SELECT DISTINCT product_id FROM order_items_cleaned)
WHERE product_id NOT IN (SELECT product_id FROM product_versions);

-- Each order with its customer's version at `ordered_at`.
CREATE TABLE keyed_orders AS
SELECT orders.*, dim.customer_key
FROM orders_cleaned AS orders
LEFT JOIN dim_customers AS dim
    ON dim.customer_id = orders.customer_id AND dim.valid_from <= orders.ordered_at
QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY dim.valid_from DESC) = 1;

CREATE TABLE keyed_items AS
SELECT
    items.*, orders.* EXCLUDE (order_id, discount_amount, updated_at),
    dim.product_key, dim.category, dim.unit_cost
FROM order_items_cleaned AS items
JOIN keyed_orders AS orders USING (order_id)
LEFT JOIN dim_products AS dim
    ON dim.product_id = items.product_id AND dim.valid_from <= orders.ordered_at
QUALIFY row_number() OVER (PARTITION BY order_item_id ORDER BY dim.valid_from DESC) = 1;

CREATE TABLE measured_items AS
SELECT
    *,
    as_amount(CAST(quantity AS DECIMAL(38, 0)) * unit_price) AS gross_amount,
    as_amount(gross_amount - discount_amount) AS net_amount,
    as_amount(CAST(quantity AS DECIMAL(38, 0)) * unit_cost) AS cost_amount,
    as_amount(net_amount - cost_amount) AS margin_amount
FROM keyed_items;

CREATE TABLE fact_order_items AS
SELECT
    order_item_id, order_id, date_key(ordered_at) AS order_date_key, customer_key, product_key,
    order_status, ordered_at, quantity, unit_price, gross_amount, discount_amount, net_amount,
    cost_amount, margin_amount
FROM measured_items;

CREATE TABLE fact_orders AS
WITH item_sums AS (
    SELECT
        order_id, count(*) AS item_count, sum(quantity) AS unit_count,
        sum(gross_amount) AS gross_amount, sum(discount_amount) AS discount_amount
    FROM measured_items
    GROUP BY order_id
),
payment_sums AS (
    SELECT
        order_id, count(*) AS payment_count, min(paid_at) AS first_paid_at,
        coalesce(sum(amount) FILTER (payment_status = 'captured'), 0)
            - coalesce(sum(amount) FILTER (payment_status = 'refunded'), 0) AS paid_amount
    FROM payments_cleaned
    GROUP BY order_id
),
shipment_sums AS (
    SELECT
        order_id, count(*) AS shipment_count,
        min(shipped_at) AS first_shipped_at, max(delivered_at) AS delivered_at
    FROM shipments_cleaned
    GROUP BY order_id
)
SELECT
    orders.order_id,
    date_key(ordered_at) AS order_date_key,
    customer_key, order_status, currency, shipping_country, ordered_at,
    CAST(coalesce(item_count, 0) AS BIGINT) AS item_count,
    CAST(coalesce(unit_count, 0) AS BIGINT) AS unit_count,
    as_amount(coalesce(items.gross_amount, 0)) AS gross_amount,
    as_amount(coalesce(items.discount_amount, 0)) AS item_discount_amount,
    orders.discount_amount AS order_discount_amount,
    shipping_amount,
    as_amount(
        coalesce(items.gross_amount, 0) - coalesce(items.discount_amount, 0)
        - orders.discount_amount + shipping_amount
    ) AS net_amount,
    CAST(coalesce(payment_count, 0) AS BIGINT) AS payment_count,
    as_amount(coalesce(payments.paid_amount, 0)) AS paid_amount,
    first_paid_at,
    CAST(coalesce(shipment_count, 0) AS BIGINT) AS shipment_count,
    first_shipped_at,
    delivered_at,
    date_diff('day', ordered_at, first_shipped_at) AS days_to_ship,
    date_diff('day', ordered_at, delivered_at) AS days_to_deliver,
    as_amount(coalesce(payments.paid_amount, 0)) >= net_amount AS is_paid_in_full
FROM keyed_orders AS orders
LEFT JOIN item_sums AS items USING (order_id)
LEFT JOIN payment_sums AS payments USING (order_id)
LEFT JOIN shipment_sums AS shipments USING (order_id);

CREATE TABLE fact_payments AS
SELECT
    payment_id, order_id, customer_key, date_key(paid_at) AS paid_date_key,
    payment_method, payment_status, amount, paid_at
FROM payments_cleaned
JOIN keyed_orders USING (order_id);

CREATE TABLE fact_shipments AS
SELECT
    shipment_id, order_id, customer_key,
    date_key(shipped_at) AS shipped_date_key, date_key(delivered_at) AS delivered_date_key,
    carrier, shipment_status, shipped_at, delivered_at,
    date_diff('day', shipped_at, delivered_at) AS days_in_transit
FROM shipments_cleaned
JOIN keyed_orders USING (order_id);

CREATE TABLE daily_sales AS
SELECT
    date_key(ordered_at) AS order_date_key,
    coalesce(category, '(unknown)') AS category,
    coalesce(shipping_country, '(unknown)') AS shipping_country,
    count(DISTINCT order_id) AS order_count,
    CAST(sum(quantity) AS BIGINT) AS unit_count,
    as_amount(sum(gross_amount)) AS gross_amount,
    as_amount(sum(net_amount)) AS net_amount,
    as_amount(sum(margin_amount)) AS margin_amount
FROM measured_items
WHERE order_status <> 'cancelled'
GROUP BY ALL;

CREATE TABLE customer_lifetime AS
WITH sums AS (
    SELECT
        customer_id, count(*) AS order_count,
        min(orders.ordered_at) AS first_ordered_at, max(orders.ordered_at) AS last_ordered_at,
        sum(net_amount) AS net_amount
    FROM fact_orders AS orders
    JOIN orders_cleaned USING (order_id)
    WHERE orders.order_status <> 'cancelled'
    GROUP BY customer_id
)
SELECT
    customer_id, order_count, first_ordered_at, last_ordered_at,
    as_amount(net_amount) AS net_amount,
    as_amount(
        CAST(average_cents(CAST(net_amount * 100 AS HUGEINT), order_count) AS DECIMAL(20, 0))
        * CAST(0.01 AS DECIMAL(3, 2))
    ) AS average_order_amount
FROM sums;
