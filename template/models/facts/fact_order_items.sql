-- One row per item of an order that has arrived, at the prices and costs of its day.
{{ config(sort_key=['order_date_key', 'order_id']) }}

WITH product_versions AS (
    -- Each version until the next one starts: a deleted product's items stay with the last version.
    SELECT
        product_id,
        product_key,
        unit_cost,
        valid_from,
        LEAD(valid_from) OVER (PARTITION BY product_id ORDER BY valid_from) AS next_valid_from
    FROM {{ ref('dim_products') }}
),

sold AS (
    SELECT
        items.order_item_id,
        items.order_id,
        orders.order_date_key,
        orders.customer_key,
        products.product_key,
        orders.order_status,
        orders.ordered_at,
        items.quantity,
        items.unit_price,
        items.quantity * items.unit_price AS gross_amount,
        items.discount_amount,
        items.quantity * products.unit_cost AS cost_amount
    FROM {{ source('staging', 'order_items_cleaned') }} AS items
    INNER JOIN {{ ref('fact_orders') }} AS orders
        ON items.order_id = orders.order_id
    LEFT JOIN product_versions AS products
        ON items.product_id = products.product_id
        AND orders.ordered_at >= products.valid_from
        AND (orders.ordered_at < products.next_valid_from OR products.next_valid_from IS NULL)
)

SELECT
    order_item_id,
    order_id,
    order_date_key,
    customer_key,
    product_key,
    order_status,
    ordered_at,
    quantity,
    unit_price,
    CAST(gross_amount AS DECIMAL(18, 2)) AS gross_amount,
    discount_amount,
    CAST(gross_amount - discount_amount AS DECIMAL(18, 2)) AS net_amount,
    CAST(cost_amount AS DECIMAL(18, 2)) AS cost_amount,
    CAST(gross_amount - discount_amount - cost_amount AS DECIMAL(18, 2)) AS margin_amount
FROM sold
