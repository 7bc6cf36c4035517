{{ config(
  unique_key='shipment_id',
  post_hook="
    DELETE FROM {{ this }}
    WHERE shipment_id IN (SELECT shipment_id FROM {{ ref('shipments_cleaned') }} WHERE is_deleted)
      OR order_id IN (SELECT order_id FROM {{ ref('orders_cleaned') }} WHERE is_deleted)"
) }}

WITH shipments AS (
    FROM {{ ref('shipments_cleaned') }}
    WHERE NOT is_deleted
    {%- if is_incremental() %}
    AND (
        {{ is_new() }}
        OR order_id IN (SELECT order_id FROM {{ ref('fact_orders') }} WHERE {{ is_new() }})
    )
    {%- endif %}
)
SELECT
    shipment_id, order_id, customer_key, date_key(shipped_at) AS shipped_date_key,
    date_key(delivered_at) AS delivered_date_key, carrier, shipment_status, shipped_at, delivered_at,
    date_diff('day', shipped_at, delivered_at) AS days_in_transit,
    greatest(updated_at, order_updated_at) AS updated_at
FROM shipments
JOIN (
    SELECT order_id, customer_key, updated_at AS order_updated_at FROM {{ ref('fact_orders') }}
) USING (order_id)
