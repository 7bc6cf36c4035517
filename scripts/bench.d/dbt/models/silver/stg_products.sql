{{ config(materialized='table') }}

{{ staged(
  'products',
  columns=[
    'product_id', 'name', 'category', 'brand', 'unit_price', 'unit_cost', 'currency', 'is_active', 'created_at',
    'updated_at'
  ],
  required=['name']
) }}
