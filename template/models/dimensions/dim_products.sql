-- One row per version of a product (type 2), and one per product that order items name but that has none.
{{ config(sort_key=['product_id', 'valid_from']) }}

WITH events AS (
    -- Everything that happened to a product, one event at a time.
    SELECT
        product_id,
        updated_at,
        FALSE AS is_deleted,
        name,
        category,
        brand,
        unit_price,
        unit_cost,
        currency,
        is_active
    FROM {{ source('staging', 'products_cleaned_history') }}
    UNION ALL
    SELECT
        product_id,
        updated_at,
        TRUE AS is_deleted,
        CAST(NULL AS VARCHAR) AS name,
        CAST(NULL AS VARCHAR) AS category,
        CAST(NULL AS VARCHAR) AS brand,
        CAST(NULL AS DECIMAL(18, 2)) AS unit_price,
        CAST(NULL AS DECIMAL(18, 2)) AS unit_cost,
        CAST(NULL AS VARCHAR) AS currency,
        CAST(NULL AS BOOLEAN) AS is_active
    FROM {{ source('staging', 'products_cleaned_tombstones') }}
),

compared AS (
    -- Each event beside the one before it.
    SELECT
        *,
        LAG(is_deleted) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_is_deleted,
        LAG(name) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_name,
        LAG(category) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_category,
        LAG(brand) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_brand,
        LAG(unit_price) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_unit_price,
        LAG(unit_cost) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_unit_cost,
        LAG(is_active) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_is_active
    FROM events
),

turns AS (
    -- The events that open or close a version. A delete closes the open one, if there is one. An upsert
    -- opens one when none is open, or when a tracked attribute changes (DECODE: NULL equals NULL).
    SELECT
        *,
        LAG(updated_at) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS previous_turn_at,
        LEAD(updated_at) OVER (PARTITION BY product_id ORDER BY updated_at, is_deleted) AS next_turn_at
    FROM compared
    WHERE
        CASE
            WHEN is_deleted THEN NOT previous_is_deleted
            WHEN previous_is_deleted IS NULL OR previous_is_deleted THEN TRUE
            ELSE
                  DECODE(name, previous_name, 0, 1)
                + DECODE(category, previous_category, 0, 1)
                + DECODE(brand, previous_brand, 0, 1)
                + DECODE(unit_price, previous_unit_price, 0, 1)
                + DECODE(unit_cost, previous_unit_cost, 0, 1)
                + DECODE(is_active, previous_is_active, 0, 1)
                > 0
        END
),

versions AS (
    -- The first turn of all is an upsert; its version reaches back to the beginning of time.
    SELECT
        product_id,
        name,
        category,
        brand,
        unit_price,
        unit_cost,
        currency,
        is_active,
        CASE WHEN previous_turn_at IS NULL THEN TIMESTAMP '1900-01-01 00:00:00' ELSE updated_at END AS valid_from,
        COALESCE(next_turn_at, TIMESTAMP '9999-12-31 00:00:00') AS valid_to,
        next_turn_at IS NULL AS is_current,
        FALSE AS is_inferred
    FROM turns
    WHERE NOT is_deleted
    UNION ALL
    SELECT
        named.product_id,
        CAST(NULL AS VARCHAR) AS name,
        CAST(NULL AS VARCHAR) AS category,
        CAST(NULL AS VARCHAR) AS brand,
        CAST(NULL AS DECIMAL(18, 2)) AS unit_price,
        CAST(NULL AS DECIMAL(18, 2)) AS unit_cost,
        CAST(NULL AS VARCHAR) AS currency,
        CAST(NULL AS BOOLEAN) AS is_active,
        TIMESTAMP '1900-01-01 00:00:00' AS valid_from,
        TIMESTAMP '9999-12-31 00:00:00' AS valid_to,
        TRUE AS is_current,
        TRUE AS is_inferred
    FROM (SELECT DISTINCT product_id FROM {{ source('staging', 'order_items_cleaned') }}) AS named
    WHERE NOT EXISTS (
        SELECT 1 FROM {{ source('staging', 'products_cleaned_history') }} AS known
        WHERE known.product_id = named.product_id
    )
)

SELECT
    MD5(product_id || '|' || TO_CHAR(valid_from, 'YYYY-MM-DD HH24:MI:SS.US')) AS product_key,
    product_id,
    name,
    category,
    brand,
    unit_price,
    unit_cost,
    currency,
    is_active,
    valid_from,
    valid_to,
    is_current,
    is_inferred
FROM versions
