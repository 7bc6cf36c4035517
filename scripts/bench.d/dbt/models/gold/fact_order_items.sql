-- `category` and `shipping_country` are there for daily_sales, `updated_at` to find what is new.
{{ config(
  unique_key='order_item_id',
  post_hook="
    DELETE FROM {{ this }}
    WHERE order_item_id IN (SELECT order_item_id FROM {{ ref('order_items_cleaned') }} WHERE is_deleted)
      OR order_id IN (SELECT order_id FROM {{ ref('orders_cleaned') }} WHERE is_deleted)"
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
),
{% endif -%}
orders AS (
    SELECT orders.*, customer_key
    FROM (FROM {{ ref('orders_cleaned') }} {{ affected }} WHERE NOT is_deleted) AS orders
    LEFT JOIN {{ ref('dim_customers') }} AS version
        ON version.customer_id = orders.customer_id AND ordered_at >= valid_from AND ordered_at < seek_to
),
items AS (
    FROM {{ ref('order_items_cleaned') }} {{ affected }} WHERE NOT is_deleted
)
SELECT
    order_item_id, order_id, date_key(ordered_at) AS order_date_key, customer_key, product_key, order_status,
    ordered_at, quantity, items.unit_price,
    CAST(quantity * items.unit_price AS DECIMAL(18, 2)) AS gross_amount,
    items.discount_amount,
    CAST(gross_amount - items.discount_amount AS DECIMAL(18, 2)) AS net_amount,
    CAST(quantity * unit_cost AS DECIMAL(18, 2)) AS cost_amount,
    CAST(net_amount - cost_amount AS DECIMAL(18, 2)) AS margin_amount,
    category, shipping_country,
    greatest(items.updated_at, orders.updated_at) AS updated_at
FROM items
JOIN orders USING (order_id)
LEFT JOIN {{ ref('dim_products') }} AS version
    ON version.product_id = items.product_id AND ordered_at >= valid_from AND ordered_at < seek_to
