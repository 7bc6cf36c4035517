-- At any time at most one version of a product is valid.
WITH versions AS (
    SELECT
        product_id,
        product_key,
        valid_from,
        valid_to,
        LEAD(valid_from) OVER (PARTITION BY product_id ORDER BY valid_from) AS next_valid_from
    FROM {{ ref('dim_products') }}
    WHERE valid_from < valid_to
)

SELECT
    product_id,
    product_key,
    valid_from,
    valid_to,
    next_valid_from
FROM versions
WHERE next_valid_from < valid_to
