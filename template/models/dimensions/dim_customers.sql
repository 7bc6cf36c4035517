-- One row per version of a customer (type 2), and one per customer that orders name but that has none.
{{ config(sort_key=['customer_id', 'valid_from']) }}

WITH events AS (
    -- Everything that happened to a customer, one event at a time.
    SELECT
        customer_id,
        updated_at,
        FALSE AS is_deleted,
        email,
        first_name,
        last_name,
        country,
        city,
        postal_code,
        marketing_opt_in,
        created_at
    FROM {{ source('staging', 'customers_cleaned_history') }}
    UNION ALL
    SELECT
        customer_id,
        updated_at,
        TRUE AS is_deleted,
        CAST(NULL AS VARCHAR) AS email,
        CAST(NULL AS VARCHAR) AS first_name,
        CAST(NULL AS VARCHAR) AS last_name,
        CAST(NULL AS VARCHAR) AS country,
        CAST(NULL AS VARCHAR) AS city,
        CAST(NULL AS VARCHAR) AS postal_code,
        CAST(NULL AS BOOLEAN) AS marketing_opt_in,
        CAST(NULL AS TIMESTAMP) AS created_at
    FROM {{ source('staging', 'customers_cleaned_tombstones') }}
),

compared AS (
    -- Each event beside the one before it.
    SELECT
        *,
        LAG(is_deleted) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_is_deleted,
        LAG(email) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_email,
        LAG(first_name) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_first_name,
        LAG(last_name) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_last_name,
        LAG(country) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_country,
        LAG(city) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_city,
        LAG(postal_code) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_postal_code,
        LAG(marketing_opt_in) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_marketing_opt_in
    FROM events
),

turns AS (
    -- The events that open or close a version. A delete closes the open one, if there is one. An upsert
    -- opens one when none is open, or when a tracked attribute changes (DECODE: NULL equals NULL).
    SELECT
        *,
        LAG(updated_at) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS previous_turn_at,
        LEAD(updated_at) OVER (PARTITION BY customer_id ORDER BY updated_at, is_deleted) AS next_turn_at
    FROM compared
    WHERE
        CASE
            WHEN is_deleted THEN NOT previous_is_deleted
            WHEN previous_is_deleted IS NULL OR previous_is_deleted THEN TRUE
            ELSE
                  DECODE(email, previous_email, 0, 1)
                + DECODE(first_name, previous_first_name, 0, 1)
                + DECODE(last_name, previous_last_name, 0, 1)
                + DECODE(country, previous_country, 0, 1)
                + DECODE(city, previous_city, 0, 1)
                + DECODE(postal_code, previous_postal_code, 0, 1)
                + DECODE(marketing_opt_in, previous_marketing_opt_in, 0, 1)
                > 0
        END
),

versions AS (
    -- The first turn of all is an upsert; its version reaches back to the beginning of time.
    SELECT
        customer_id,
        email,
        first_name,
        last_name,
        country,
        city,
        postal_code,
        marketing_opt_in,
        created_at,
        CASE WHEN previous_turn_at IS NULL THEN TIMESTAMP '1900-01-01 00:00:00' ELSE updated_at END AS valid_from,
        COALESCE(next_turn_at, TIMESTAMP '9999-12-31 00:00:00') AS valid_to,
        next_turn_at IS NULL AS is_current,
        FALSE AS is_inferred
    FROM turns
    WHERE NOT is_deleted
    UNION ALL
    SELECT
        named.customer_id,
        CAST(NULL AS VARCHAR) AS email,
        CAST(NULL AS VARCHAR) AS first_name,
        CAST(NULL AS VARCHAR) AS last_name,
        CAST(NULL AS VARCHAR) AS country,
        CAST(NULL AS VARCHAR) AS city,
        CAST(NULL AS VARCHAR) AS postal_code,
        CAST(NULL AS BOOLEAN) AS marketing_opt_in,
        CAST(NULL AS TIMESTAMP) AS created_at,
        TIMESTAMP '1900-01-01 00:00:00' AS valid_from,
        TIMESTAMP '9999-12-31 00:00:00' AS valid_to,
        TRUE AS is_current,
        TRUE AS is_inferred
    FROM (SELECT DISTINCT customer_id FROM {{ source('staging', 'orders_cleaned') }}) AS named
    WHERE NOT EXISTS (
        SELECT 1 FROM {{ source('staging', 'customers_cleaned_history') }} AS known
        WHERE known.customer_id = named.customer_id
    )
)

SELECT
    MD5(customer_id || '|' || TO_CHAR(valid_from, 'YYYY-MM-DD HH24:MI:SS.US')) AS customer_key,
    customer_id,
    email,
    first_name,
    last_name,
    country,
    city,
    postal_code,
    marketing_opt_in,
    created_at,
    valid_from,
    valid_to,
    is_current,
    is_inferred
FROM versions
