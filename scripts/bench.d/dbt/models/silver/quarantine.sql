-- Records that break the rules, with the reasons; nothing reads them.
{{ config(incremental_strategy='append') }}

{% for entity in ['customers', 'products', 'orders', 'order_items', 'payments', 'shipments'] -%}
SELECT '{{ entity }}' AS entity, reasons, record FROM {{ ref('stg_' ~ entity) }} WHERE reasons IS NOT NULL
{% if not loop.last %}UNION ALL{% endif %}
{% endfor %}
