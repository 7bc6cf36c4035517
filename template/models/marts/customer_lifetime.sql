-- What each customer has ordered so far. Cancelled orders do not count.
{{ config(sort_key='customer_id') }}

SELECT
    placed.customer_id,
    COUNT(*) AS order_count,
    MIN(orders.ordered_at) AS first_ordered_at,
    MAX(orders.ordered_at) AS last_ordered_at,
    CAST(SUM(orders.net_amount) AS DECIMAL(18, 2)) AS net_amount,
    CAST(ROUND(CAST(SUM(orders.net_amount) AS DECIMAL(18, 2)) / COUNT(*), 2) AS DECIMAL(18, 2)) AS average_order_amount
FROM {{ ref('fact_orders') }} AS orders
INNER JOIN {{ source('staging', 'orders_cleaned') }} AS placed
    ON orders.order_id = placed.order_id
WHERE orders.order_status <> 'cancelled'
GROUP BY placed.customer_id
