{{ config(unique_key='product_id') }}

{{ winners(ref('stg_products'), 'product_id') }}
