{# The usual high-water mark: what is newer than the newest row here, less the look-back window. #}
{% macro is_new(updated_at='updated_at') -%}
  {{ updated_at }} > (SELECT max(updated_at) - to_days({{ var('lookback_days') }}) FROM {{ this }})
{%- endmacro %}

{# The versions of a type-2 dimension, from a query of the events of the members that are to be computed. `seek_to` is
   the moment until which a version is the one to look up: unlike `valid_to` it leaves no gaps. #}
{% macro versions(events, key, surrogate, tracked, others) %}
WITH neighbours AS (
    SELECT
        *,
        max(updated_at) OVER (PARTITION BY {{ key }}) AS newest_event,
        lag(is_deleted, 1, true) OVER in_time AS follows_delete,
        lag(({{ tracked | join(', ') }})) OVER in_time AS before
    FROM {{ events }}
    WINDOW in_time AS (PARTITION BY {{ key }} ORDER BY updated_at)
),
spans AS (
    SELECT
        * EXCLUDE (before),
        row_number() OVER in_time = 1 AS is_first,
        lead(updated_at) OVER in_time AS ended_at
    FROM neighbours
    WHERE CASE
        WHEN follows_delete THEN NOT is_deleted
        ELSE is_deleted OR ({{ tracked | join(', ') }}) IS DISTINCT FROM before
    END
    WINDOW in_time AS (PARTITION BY {{ key }} ORDER BY updated_at)
)
SELECT
    surrogate_key({{ key }}, valid_from) AS {{ surrogate }}, {{ key }}, {{ tracked | join(', ') }}, {{ others | join(', ') }},
    valid_from, valid_to, is_current, is_inferred,
    lead(valid_from, 1, TIMESTAMP 'infinity') OVER (PARTITION BY {{ key }} ORDER BY valid_from) AS seek_to,
    newest_event AS updated_at
FROM (
    SELECT
        *,
        CASE WHEN is_first THEN TIMESTAMP '1900-01-01' ELSE updated_at END AS valid_from,
        coalesce(ended_at, TIMESTAMP '9999-12-31') AS valid_to,
        ended_at IS NULL AS is_current,
        false AS is_inferred
    FROM spans
    WHERE NOT is_deleted
)
{% endmacro %}

{# The one row of a member that only facts know of. #}
{% macro inferred_members(named, key, surrogate) %}
SELECT
    surrogate_key({{ key }}, TIMESTAMP '1900-01-01') AS {{ surrogate }}, {{ key }},
    TIMESTAMP '1900-01-01' AS valid_from, TIMESTAMP '9999-12-31' AS valid_to,
    true AS is_current, true AS is_inferred, TIMESTAMP 'infinity' AS seek_to
FROM {{ named }}
{% endmacro %}
