{% test has_rows(model) %}
SELECT count(*) FROM {{ model }} HAVING count(*) = 0
{% endtest %}
