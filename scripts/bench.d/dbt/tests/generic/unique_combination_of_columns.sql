{% test unique_combination_of_columns(model, combination_of_columns) %}
SELECT {{ combination_of_columns | join(', ') }}
FROM {{ model }}
GROUP BY ALL
HAVING count(*) > 1
{% endtest %}
