-- One row per payment for an order that has arrived.
{{ config(sort_key=['paid_date_key', 'payment_id']) }}

SELECT
    payments.payment_id,
    payments.order_id,
    orders.customer_key,
    CAST(TO_CHAR(payments.paid_at, 'YYYYMMDD') AS INTEGER) AS paid_date_key,
    payments.payment_method,
    payments.payment_status,
    payments.amount,
    payments.paid_at
FROM {{ source('staging', 'payments_cleaned') }} AS payments
INNER JOIN {{ ref('fact_orders') }} AS orders
    ON payments.order_id = orders.order_id
