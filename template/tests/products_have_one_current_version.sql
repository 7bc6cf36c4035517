-- A product has one current row while it is live (or inferred), and none when it is deleted.
WITH members AS (
    SELECT
        product_id,
        0 AS current_rows,
        1 AS is_live
    FROM {{ source('staging', 'products_cleaned') }}
    UNION ALL
    SELECT
        product_id,
        1 AS current_rows,
        CASE WHEN is_inferred THEN 1 ELSE 0 END AS is_live
    FROM {{ ref('dim_products') }}
    WHERE is_current
)

SELECT
    product_id,
    SUM(current_rows) AS current_rows,
    MAX(is_live) AS is_live
FROM members
GROUP BY product_id
HAVING SUM(current_rows) <> 1 OR MAX(is_live) = 0
