-- There are few products: all of their versions are made each time.
{{ config(materialized='table') }}

WITH events AS (
    FROM {{ ref('products_events') }}
),
known AS (
    {{ versions(
      'events', 'product_id', 'product_key',
      tracked=['name', 'category', 'brand', 'unit_price', 'unit_cost', 'is_active'],
      others=['currency']
    ) | indent(4) }}
),
missing AS (
    SELECT DISTINCT product_id
    FROM {{ ref('order_items_cleaned') }} ANTI JOIN known USING (product_id)
    WHERE NOT is_deleted
)
FROM known
UNION ALL BY NAME
{{ inferred_members('missing', 'product_id', 'product_key') }}
