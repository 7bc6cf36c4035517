{{ config(materialized='table') }}

{{ staged(
  'order_items',
  columns=[
    'order_item_id', 'order_id', 'product_id', 'quantity', 'unit_price', 'discount_amount', 'updated_at'
  ],
  required=['order_id', 'product_id', 'quantity', 'unit_price']
) }}
