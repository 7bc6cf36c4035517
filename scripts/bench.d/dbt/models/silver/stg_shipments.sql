{{ config(materialized='table') }}

{{ staged(
  'shipments',
  columns=[
    'shipment_id', 'order_id', 'carrier', 'tracking_number', 'shipment_status', 'shipped_at', 'delivered_at',
    'updated_at'
  ],
  required=['order_id']
) }}
