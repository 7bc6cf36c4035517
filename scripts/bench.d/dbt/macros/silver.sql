{# What kind of value a column holds: which of the `parse_<kind>` functions of ../duckdb_values.sql reads it. #}
{% macro kind_of(column) %}
  {%- set kinds = {
    'email': 'email', 'country': 'code', 'shipping_country': 'code', 'currency': 'code', 'order_status': 'status',
    'payment_status': 'status', 'payment_method': 'status', 'shipment_status': 'status', 'unit_price': 'money',
    'unit_cost': 'money', 'discount_amount': 'money', 'shipping_amount': 'money', 'amount': 'money',
    'quantity': 'count', 'marketing_opt_in': 'flag', 'is_active': 'flag'
  } -%}
  {%- if column.endswith('_id') -%} identifier
  {%- elif column.endswith('_at') -%} timestamp
  {%- else -%} {{ kinds.get(column, 'text') }}
  {%- endif -%}
{% endmacro %}

{# The new files of an entity, cleaned: one row a record, with the reasons of those that are to be left out. The key is
   the first column. The row id of the table is the order of arrival. #}
{% macro staged(entity, columns, required=[]) %}
  {%- set defaults = {
    'discount_amount': '0::DECIMAL(18, 2)', 'shipping_amount': '0::DECIMAL(18, 2)', 'marketing_opt_in': 'false',
    'is_active': 'true'
  } -%}
  {%- set always = {'_op: unknown': "operation NOT IN ('i', 'c', 'u', 'd')"} -%}
  {%- set upserts = {} -%}
  {%- for column in columns -%}
    {%- set kind = kind_of(column) | trim -%}
    {%- if loop.first or column == 'updated_at' -%}
      {%- do always.update({column ~ ': missing or does not parse': column ~ '_value IS NULL'}) -%}
    {%- elif column in required -%}
      {%- do upserts.update({column ~ ': missing or does not parse': column ~ '_value IS NULL'}) -%}
    {%- elif kind in ['money', 'count', 'flag', 'timestamp'] -%}
      {%- do upserts.update({
        column ~ ': does not parse': column ~ '_value IS NULL AND clean_text(' ~ column ~ ') IS NOT NULL'
      }) -%}
    {%- endif -%}
    {%- if kind == 'money' -%}
      {%- do upserts.update({column ~ ': negative': column ~ '_value < 0'}) -%}
    {%- elif kind == 'count' -%}
      {%- do upserts.update({column ~ ': below one': column ~ '_value < 1'}) -%}
    {%- endif -%}
  {%- endfor %}
SELECT
    file_index, is_deleted,
    {% for column in columns -%}
    coalesce({{ column }}_value, {{ defaults.get(column, 'NULL') }}) AS {{ column }},
    {% endfor -%}
    reasons,
    CASE WHEN reasons IS NOT NULL THEN
        CAST(to_json(struct_pack(_op := _op{% for column in columns %}, {{ column }} := {{ column }}{% endfor %})) AS VARCHAR)
    END AS record
FROM (
    SELECT
        *,
        CASE
            WHEN {{ always.values() | join(' OR ') }} OR (NOT is_deleted AND ({{ upserts.values() | join(' OR ') }}))
            THEN concat_ws(
                ', '
                {%- for reason, condition in always.items() %},
                CASE WHEN {{ condition }} THEN '{{ reason }}' END{% endfor %}
                {%- for reason, condition in upserts.items() %},
                CASE WHEN NOT is_deleted AND {{ condition }} THEN '{{ reason }}' END{% endfor %}
            )
        END AS reasons
    FROM (
        SELECT
            *, file_index,
            {% for column in columns -%}
            parse_{{ kind_of(column) | trim }}({{ column }}) AS {{ column }}_value,
            {% endfor -%}
            lower(clean_text(_op)) AS operation,
            coalesce(lower(clean_text(_op)) = 'd', false) AS is_deleted
        FROM read_json(
            'incoming/{{ entity }}/*.jsonl',
            format = 'newline_delimited',
            columns = { _op: 'VARCHAR'{% for column in columns %}, {{ column }}: 'VARCHAR'{% endfor %} },
            ignore_errors = true
        )
    )
)
{% endmacro %}

{# The newest record of each key, deletes too, unless a newer one stands already. Of the same time, the last arrived
   wins. Time and row id in one number: the greatest of a key is its winner, and its low bits say where that is. #}
{% macro winners(staged, key) %}
SELECT staged.* EXCLUDE (file_index, reasons, record)
FROM {{ staged }} AS staged
{% if is_incremental() -%}
LEFT JOIN {{ this }} AS standing ON standing.{{ key }} = staged.{{ key }}
{% endif -%}
WHERE staged.rowid IN (
    SELECT max(epoch_us(updated_at)::HUGEINT * {{ 2 ** 40 }} + rowid) & {{ 2 ** 40 - 1 }}
    FROM {{ staged }}
    WHERE reasons IS NULL
    GROUP BY {{ key }}
)
{% if is_incremental() -%}
AND (standing.updated_at IS NULL OR standing.updated_at <= staged.updated_at)
{%- endif %}
{% endmacro %}

{# The last arrived record of each key and time, deletes too. #}
{% macro events(staged, key) %}
SELECT * EXCLUDE (file_index, reasons, record)
FROM {{ staged }}
WHERE reasons IS NULL
QUALIFY row_number() OVER (PARTITION BY {{ key }}, updated_at ORDER BY rowid DESC) = 1
{% endmacro %}
