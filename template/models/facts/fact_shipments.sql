-- One row per shipment of an order that has arrived.
{{ config(sort_key=['shipped_date_key', 'shipment_id']) }}

SELECT
    shipments.shipment_id,
    shipments.order_id,
    orders.customer_key,
    CAST(TO_CHAR(shipments.shipped_at, 'YYYYMMDD') AS INTEGER) AS shipped_date_key,
    CAST(TO_CHAR(shipments.delivered_at, 'YYYYMMDD') AS INTEGER) AS delivered_date_key,
    shipments.carrier,
    shipments.shipment_status,
    shipments.shipped_at,
    shipments.delivered_at,
    DATEDIFF(day, shipments.shipped_at, shipments.delivered_at) AS days_in_transit
FROM {{ source('staging', 'shipments_cleaned') }} AS shipments
INNER JOIN {{ ref('fact_orders') }} AS orders
    ON shipments.order_id = orders.order_id
