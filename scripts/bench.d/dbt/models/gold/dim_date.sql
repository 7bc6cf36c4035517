{{ config(materialized='table') }}

SELECT
    date_key(day) AS date_key, CAST(day AS DATE) AS date,
    CAST(year(day) AS INTEGER) AS year, CAST(quarter(day) AS INTEGER) AS quarter,
    CAST(month(day) AS INTEGER) AS month, monthname(day) AS month_name,
    CAST(week(day) AS INTEGER) AS week_of_year, CAST(day(day) AS INTEGER) AS day_of_month,
    CAST(isodow(day) AS INTEGER) AS day_of_week, dayname(day) AS day_name, isodow(day) >= 6 AS is_weekend
FROM generate_series(TIMESTAMP '2015-01-01', TIMESTAMP '2035-12-31', INTERVAL 1 DAY) AS days(day)
