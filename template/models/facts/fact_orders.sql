-- One row per order, with what its items, payments and shipments add up to.
{{ config(sort_key=['order_date_key', 'order_id']) }}

WITH customer_versions AS (
    -- Each version until the next one starts: a deleted customer's orders stay with the last version.
    SELECT
        customer_id,
        customer_key,
        valid_from,
        LEAD(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from) AS next_valid_from
    FROM {{ ref('dim_customers') }}
),

items AS (
    SELECT
        order_id,
        COUNT(*) AS item_count,
        SUM(quantity) AS unit_count,
        SUM(quantity * unit_price) AS gross_amount,
        SUM(discount_amount) AS discount_amount
    FROM {{ source('staging', 'order_items_cleaned') }}
    GROUP BY order_id
),

payments AS (
    SELECT
        order_id,
        COUNT(*) AS payment_count,
        SUM(CASE payment_status WHEN 'captured' THEN amount WHEN 'refunded' THEN -amount ELSE 0 END) AS paid_amount,
        MIN(paid_at) AS first_paid_at
    FROM {{ source('staging', 'payments_cleaned') }}
    GROUP BY order_id
),

shipments AS (
    SELECT
        order_id,
        COUNT(*) AS shipment_count,
        MIN(shipped_at) AS first_shipped_at,
        MAX(delivered_at) AS delivered_at
    FROM {{ source('staging', 'shipments_cleaned') }}
    GROUP BY order_id
),

placed AS (
    SELECT
        orders.order_id,
        customers.customer_key,
        orders.order_status,
        orders.currency,
        orders.shipping_country,
        orders.ordered_at,
        COALESCE(items.item_count, 0) AS item_count,
        COALESCE(items.unit_count, 0) AS unit_count,
        COALESCE(items.gross_amount, 0) AS gross_amount,
        COALESCE(items.discount_amount, 0) AS item_discount_amount,
        orders.discount_amount AS order_discount_amount,
        orders.shipping_amount,
        COALESCE(items.gross_amount, 0)
        - COALESCE(items.discount_amount, 0)
        - orders.discount_amount
        + orders.shipping_amount AS net_amount,
        COALESCE(payments.payment_count, 0) AS payment_count,
        COALESCE(payments.paid_amount, 0) AS paid_amount,
        payments.first_paid_at,
        COALESCE(shipments.shipment_count, 0) AS shipment_count,
        shipments.first_shipped_at,
        shipments.delivered_at
    FROM {{ source('staging', 'orders_cleaned') }} AS orders
    LEFT JOIN customer_versions AS customers
        ON orders.customer_id = customers.customer_id
        AND orders.ordered_at >= customers.valid_from
        AND (orders.ordered_at < customers.next_valid_from OR customers.next_valid_from IS NULL)
    LEFT JOIN items
        ON orders.order_id = items.order_id
    LEFT JOIN payments
        ON orders.order_id = payments.order_id
    LEFT JOIN shipments
        ON orders.order_id = shipments.order_id
)

SELECT
    order_id,
    CAST(TO_CHAR(ordered_at, 'YYYYMMDD') AS INTEGER) AS order_date_key,
    customer_key,
    order_status,
    currency,
    shipping_country,
    ordered_at,
    CAST(item_count AS BIGINT) AS item_count,
    CAST(unit_count AS BIGINT) AS unit_count,
    CAST(gross_amount AS DECIMAL(18, 2)) AS gross_amount,
    CAST(item_discount_amount AS DECIMAL(18, 2)) AS item_discount_amount,
    CAST(order_discount_amount AS DECIMAL(18, 2)) AS order_discount_amount,
    CAST(shipping_amount AS DECIMAL(18, 2)) AS shipping_amount,
    CAST(net_amount AS DECIMAL(18, 2)) AS net_amount,
    CAST(payment_count AS BIGINT) AS payment_count,
    CAST(paid_amount AS DECIMAL(18, 2)) AS paid_amount,
    first_paid_at,
    CAST(shipment_count AS BIGINT) AS shipment_count,
    first_shipped_at,
    delivered_at,
    DATEDIFF(day, ordered_at, first_shipped_at) AS days_to_ship,
    DATEDIFF(day, ordered_at, delivered_at) AS days_to_deliver,
    paid_amount >= net_amount AS is_paid_in_full
FROM placed
