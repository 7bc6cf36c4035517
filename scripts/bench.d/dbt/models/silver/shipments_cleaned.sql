{{ config(unique_key='shipment_id') }}

{{ winners(ref('stg_shipments'), 'shipment_id') }}
