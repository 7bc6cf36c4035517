-- What an order says about its items is what its items say.
WITH items AS (
    SELECT
        order_id,
        COUNT(*) AS item_count,
        SUM(quantity) AS unit_count,
        SUM(gross_amount) AS gross_amount,
        SUM(discount_amount) AS discount_amount
    FROM {{ ref('fact_order_items') }}
    GROUP BY order_id
)

SELECT
    orders.order_id,
    orders.item_count,
    orders.unit_count,
    orders.gross_amount,
    orders.item_discount_amount
FROM {{ ref('fact_orders') }} AS orders
LEFT JOIN items
    ON orders.order_id = items.order_id
WHERE
    orders.item_count <> COALESCE(items.item_count, 0)
    OR orders.unit_count <> COALESCE(items.unit_count, 0)
    OR orders.gross_amount <> COALESCE(items.gross_amount, 0)
    OR orders.item_discount_amount <> COALESCE(items.discount_amount, 0)
