{{ config(
  unique_key='payment_id',
  post_hook="
    DELETE FROM {{ this }}
    WHERE payment_id IN (SELECT payment_id FROM {{ ref('payments_cleaned') }} WHERE is_deleted)
      OR order_id IN (SELECT order_id FROM {{ ref('orders_cleaned') }} WHERE is_deleted)"
) }}

WITH payments AS (
    FROM {{ ref('payments_cleaned') }}
    WHERE NOT is_deleted
    {%- if is_incremental() %}
    AND (
        {{ is_new() }}
        OR order_id IN (SELECT order_id FROM {{ ref('fact_orders') }} WHERE {{ is_new() }})
    )
    {%- endif %}
)
SELECT
    payment_id, order_id, customer_key, date_key(paid_at) AS paid_date_key, payment_method, payment_status, amount,
    paid_at,
    greatest(updated_at, order_updated_at) AS updated_at
FROM payments
JOIN (
    SELECT order_id, customer_key, updated_at AS order_updated_at FROM {{ ref('fact_orders') }}
) USING (order_id)
