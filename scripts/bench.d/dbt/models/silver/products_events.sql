{{ config(unique_key=['product_id', 'updated_at']) }}

{{ events(ref('stg_products'), 'product_id') }}
