-- All versions of the customers of whom there is something new.
{{ config(unique_key='customer_id') }}

WITH events AS (
    FROM {{ ref('customers_events') }}
    {%- if is_incremental() %}
    WHERE customer_id IN (SELECT customer_id FROM {{ ref('customers_events') }} WHERE {{ is_new() }})
    {%- endif %}
),
known AS (
    {{ versions(
      'events', 'customer_id', 'customer_key',
      tracked=['email', 'first_name', 'last_name', 'country', 'city', 'postal_code', 'marketing_opt_in'],
      others=['created_at']
    ) | indent(4) }}
),
named AS (
    SELECT DISTINCT customer_id FROM {{ ref('orders_cleaned') }}
    WHERE NOT is_deleted
    {%- if is_incremental() %} AND {{ is_new() }}{% endif %}
),
missing AS (
    FROM named ANTI JOIN known USING (customer_id)
    {%- if is_incremental() %} ANTI JOIN {{ this }} USING (customer_id){% endif %}
)
FROM known
UNION ALL BY NAME
{{ inferred_members('missing', 'customer_id', 'customer_key') }}
