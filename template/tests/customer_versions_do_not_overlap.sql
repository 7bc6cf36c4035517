-- At any time at most one version of a customer is valid.
WITH versions AS (
    SELECT
        customer_id,
        customer_key,
        valid_from,
        valid_to,
        LEAD(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from) AS next_valid_from
    FROM {{ ref('dim_customers') }}
    WHERE valid_from < valid_to
)

SELECT
    customer_id,
    customer_key,
    valid_from,
    valid_to,
    next_valid_from
FROM versions
WHERE next_valid_from < valid_to
