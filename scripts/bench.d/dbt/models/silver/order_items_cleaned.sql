{{ config(unique_key='order_item_id') }}

{{ winners(ref('stg_order_items'), 'order_item_id') }}
