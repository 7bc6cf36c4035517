-- Every day from 2015 to 2035.
{{ config(sort_key='date_key') }}

WITH digits AS (
    SELECT 0 AS digit
    UNION ALL SELECT 1
    UNION ALL SELECT 2
    UNION ALL SELECT 3
    UNION ALL SELECT 4
    UNION ALL SELECT 5
    UNION ALL SELECT 6
    UNION ALL SELECT 7
    UNION ALL SELECT 8
    UNION ALL SELECT 9
),

days AS (
    SELECT
        CAST(
            DATEADD(
                day,
                1000 * thousands.digit + 100 * hundreds.digit + 10 * tens.digit + units.digit,
                DATE '2015-01-01'
            ) AS DATE
        ) AS calendar_date
    FROM digits AS thousands
    CROSS JOIN digits AS hundreds
    CROSS JOIN digits AS tens
    CROSS JOIN digits AS units
)

SELECT
    CAST(TO_CHAR(calendar_date, 'YYYYMMDD') AS INTEGER) AS date_key,
    calendar_date AS date,
    CAST(EXTRACT(year FROM calendar_date) AS INTEGER) AS year,
    CAST(EXTRACT(quarter FROM calendar_date) AS INTEGER) AS quarter,
    CAST(EXTRACT(month FROM calendar_date) AS INTEGER) AS month,
    TO_CHAR(calendar_date, 'FMMonth') AS month_name,
    CAST(EXTRACT(week FROM calendar_date) AS INTEGER) AS week_of_year,
    CAST(EXTRACT(day FROM calendar_date) AS INTEGER) AS day_of_month,
    CAST(TO_CHAR(calendar_date, 'ID') AS INTEGER) AS day_of_week,
    TO_CHAR(calendar_date, 'FMDay') AS day_name,
    TO_CHAR(calendar_date, 'ID') IN ('6', '7') AS is_weekend
FROM days
WHERE calendar_date <= DATE '2035-12-31'
