{{ config(unique_key='customer_id') }}

{{ winners(ref('stg_customers'), 'customer_id') }}
