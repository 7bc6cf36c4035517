-- `customer_id` is there for the models that read this one, `updated_at` to find what is new.
{{ config(
  unique_key='order_id',
  post_hook="DELETE FROM {{ this }} WHERE order_id IN (SELECT order_id FROM {{ ref('orders_cleaned') }} WHERE is_deleted)"
) }}

{%- set affected -%}
  {% if is_incremental() %}SEMI JOIN affected USING (order_id){% endif %}
{%- endset %}

WITH
{% if is_incremental() -%}
affected AS MATERIALIZED (
    SELECT order_id FROM {{ ref('orders_cleaned') }} WHERE {{ is_new() }}
    UNION
    SELECT order_id FROM {{ ref('order_items_cleaned') }} WHERE {{ is_new() }}
    UNION
    SELECT order_id FROM {{ ref('payments_cleaned') }} WHERE {{ is_new() }}
    UNION
    SELECT order_id FROM {{ ref('shipments_cleaned') }} WHERE {{ is_new() }}
),
{% endif -%}
orders AS (
    FROM {{ ref('orders_cleaned') }} {{ affected }} WHERE NOT is_deleted
),
items AS (
    SELECT
        order_id,
        count(*) FILTER (NOT is_deleted) AS item_count,
        CAST(sum(quantity) FILTER (NOT is_deleted) AS BIGINT) AS unit_count,
        sum(CAST(quantity * unit_price AS DECIMAL(18, 2))) FILTER (NOT is_deleted) AS gross_amount,
        sum(discount_amount) FILTER (NOT is_deleted) AS discount_amount,
        max(updated_at) AS updated_at
    FROM {{ ref('order_items_cleaned') }} {{ affected }}
    GROUP BY order_id
),
payments AS (
    SELECT
        order_id,
        count(*) FILTER (NOT is_deleted) AS payment_count,
        min(paid_at) FILTER (NOT is_deleted) AS first_paid_at,
        sum(CASE payment_status WHEN 'captured' THEN amount WHEN 'refunded' THEN -amount ELSE 0 END)
            FILTER (NOT is_deleted) AS paid_amount,
        max(updated_at) AS updated_at
    FROM {{ ref('payments_cleaned') }} {{ affected }}
    GROUP BY order_id
),
shipments AS (
    SELECT
        order_id,
        count(*) FILTER (NOT is_deleted) AS shipment_count,
        min(shipped_at) FILTER (NOT is_deleted) AS first_shipped_at,
        max(delivered_at) FILTER (NOT is_deleted) AS delivered_at,
        max(updated_at) AS updated_at
    FROM {{ ref('shipments_cleaned') }} {{ affected }}
    GROUP BY order_id
)
SELECT
    orders.order_id, date_key(ordered_at) AS order_date_key, customer_key, order_status, currency, shipping_country,
    ordered_at,
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
    orders.customer_id,
    greatest(orders.updated_at, items.updated_at, payments.updated_at, shipments.updated_at) AS updated_at
FROM orders
LEFT JOIN items USING (order_id)
LEFT JOIN payments USING (order_id)
LEFT JOIN shipments USING (order_id)
LEFT JOIN {{ ref('dim_customers') }} AS version
    ON version.customer_id = orders.customer_id AND ordered_at >= valid_from AND ordered_at < seek_to
