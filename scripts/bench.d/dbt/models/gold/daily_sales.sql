{{ config(materialized='table') }}

SELECT
    order_date_key,
    coalesce(category, '(unknown)') AS category,
    coalesce(shipping_country, '(unknown)') AS shipping_country,
    count(DISTINCT order_id) AS order_count,
    CAST(sum(quantity) AS BIGINT) AS unit_count,
    CAST(sum(gross_amount) AS DECIMAL(18, 2)) AS gross_amount,
    CAST(sum(net_amount) AS DECIMAL(18, 2)) AS net_amount,
    CAST(sum(margin_amount) AS DECIMAL(18, 2)) AS margin_amount
FROM {{ ref('fact_order_items') }}
WHERE order_status <> 'cancelled'
GROUP BY ALL
