{{ config(materialized='table') }}

{{ staged(
  'customers',
  columns=[
    'customer_id', 'email', 'first_name', 'last_name', 'phone', 'country', 'city', 'postal_code',
    'marketing_opt_in', 'created_at', 'updated_at'
  ],
  required=[]
) }}
