{{ config(unique_key=['customer_id', 'updated_at']) }}

{{ events(ref('stg_customers'), 'customer_id') }}
