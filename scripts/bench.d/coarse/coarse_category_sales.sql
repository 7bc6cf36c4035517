-- What was sold of each category, ever: a day's items touch every one of the few groups.
SELECT
    COALESCE(products.category, '(unknown)') AS category,
    COUNT(*) AS item_count,
    CAST(SUM(items.quantity) AS BIGINT) AS unit_count,
    CAST(SUM(items.net_amount) AS DECIMAL(18, 2)) AS net_amount
FROM {{ ref('fact_order_items') }} AS items
LEFT JOIN {{ ref('dim_products') }} AS products
    ON items.product_key = products.product_key
WHERE items.order_status <> 'cancelled'
GROUP BY 1
