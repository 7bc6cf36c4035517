-- What was sold each day, by product category and country. Cancelled orders do not count.
{{ config(sort_key=['order_date_key', 'category', 'shipping_country']) }}

WITH sold AS (
    SELECT
        items.order_date_key,
        COALESCE(products.category, '(unknown)') AS category,
        COALESCE(orders.shipping_country, '(unknown)') AS shipping_country,
        items.order_id,
        items.quantity,
        items.gross_amount,
        items.net_amount,
        items.margin_amount
    FROM {{ ref('fact_order_items') }} AS items
    INNER JOIN {{ ref('fact_orders') }} AS orders
        ON items.order_id = orders.order_id
    LEFT JOIN {{ ref('dim_products') }} AS products
        ON items.product_key = products.product_key
    WHERE items.order_status <> 'cancelled'
)

SELECT
    order_date_key,
    category,
    shipping_country,
    COUNT(DISTINCT order_id) AS order_count,
    CAST(SUM(quantity) AS BIGINT) AS unit_count,
    CAST(SUM(gross_amount) AS DECIMAL(18, 2)) AS gross_amount,
    CAST(SUM(net_amount) AS DECIMAL(18, 2)) AS net_amount,
    CAST(SUM(margin_amount) AS DECIMAL(18, 2)) AS margin_amount
FROM sold
GROUP BY order_date_key, category, shipping_country
