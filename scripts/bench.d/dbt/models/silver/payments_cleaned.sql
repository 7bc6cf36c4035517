{{ config(unique_key='payment_id') }}

{{ winners(ref('stg_payments'), 'payment_id') }}
