-- Half away from zero in whole cents, since division of decimals would go through floating point.
{{ config(materialized='table') }}

WITH sums AS (
    SELECT
        customer_id, count(*) AS order_count, min(ordered_at) AS first_ordered_at, max(ordered_at) AS last_ordered_at,
        sum(net_amount) AS net_amount, CAST(sum(net_amount) * 100 AS HUGEINT) AS net_cents
    FROM {{ ref('fact_orders') }}
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
FROM sums
