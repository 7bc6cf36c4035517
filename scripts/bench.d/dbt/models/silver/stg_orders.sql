{{ config(materialized='table') }}

{{ staged(
  'orders',
  columns=[
    'order_id', 'customer_id', 'order_status', 'currency', 'shipping_country', 'discount_amount',
    'shipping_amount', 'ordered_at', 'updated_at'
  ],
  required=['customer_id', 'ordered_at', 'order_status']
) }}
