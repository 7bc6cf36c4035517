{{ config(materialized='table') }}

{{ staged(
  'payments',
  columns=[
    'payment_id', 'order_id', 'payment_method', 'payment_status', 'amount', 'paid_at', 'updated_at'
  ],
  required=['order_id', 'amount', 'payment_status']
) }}
