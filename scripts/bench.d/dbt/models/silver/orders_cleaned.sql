{{ config(unique_key='order_id') }}

{{ winners(ref('stg_orders'), 'order_id') }}
