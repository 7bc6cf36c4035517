-- The value rules of the reference warehouse, one macro a column kind. Each takes trimmed text that is
-- not one of the texts for "nothing" (see `standard`) and gives NULL where the text does not parse.

CREATE MACRO white_space() AS ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13);

CREATE MACRO ascii_lower(value) AS
    translate(value, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz');

CREATE MACRO ascii_upper(value) AS
    translate(value, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ');

CREATE MACRO nothing_as_null(trimmed) AS
    CASE WHEN trimmed IN ('', 'null', 'NULL', 'N/A', 'n/a', '\N') THEN NULL ELSE trimmed END;

CREATE MACRO standard(value) AS nothing_as_null(trim(value, white_space()));

CREATE MACRO parse_identifier(value) AS ascii_upper(translate(value, white_space(), ''));

CREATE MACRO parse_email(value) AS ascii_lower(value);

CREATE MACRO parse_code(value) AS ascii_upper(value);

CREATE MACRO status_alias(value) AS
    CASE value
        WHEN 'canceled' THEN 'cancelled'
        WHEN 'complete' THEN 'completed'
        WHEN 'in_transit' THEN 'shipped'
        ELSE value
    END;

CREATE MACRO parse_status(value) AS status_alias(translate(ascii_lower(value), ' -', '__'));

-- The third digit of the fraction alone decides about half a cent and more, away from zero.
CREATE MACRO money_from_parts(whole, fraction, is_negative) AS
    CASE
        WHEN length(whole) <= 16 THEN TRY_CAST(
            CAST(
                (
                    CAST(whole || rpad(left(fraction, 2), 2, '0') AS HUGEINT)
                    + CASE WHEN substr(fraction, 3, 1) >= '5' THEN 1 ELSE 0 END
                ) * CASE WHEN is_negative THEN -1 ELSE 1 END
                AS DECIMAL(20, 0)
            ) * CAST(0.01 AS DECIMAL(3, 2))
            AS DECIMAL(18, 2)
        )
    END;

CREATE MACRO parse_money(value) AS
    CASE
        WHEN regexp_full_match(value, '([$€£¥] ?)?[+-]?([0-9][0-9,]*(\.[0-9]*)?|\.[0-9]+)')
        THEN money_from_parts(
            replace(regexp_extract(value, '[+-]?([0-9,]*)(\.[0-9]*)?$', 1), ',', ''),
            regexp_extract(value, '\.([0-9]*)$', 1),
            contains(value, '-')
        )
    END;

CREATE MACRO parse_count(value) AS
    CASE WHEN regexp_full_match(value, '[+-]?[0-9]+') THEN TRY_CAST(value AS INTEGER) END;

CREATE MACRO parse_flag(value) AS
    CASE
        WHEN ascii_lower(value) IN ('true', 't', 'yes', 'y', '1') THEN true
        WHEN ascii_lower(value) IN ('false', 'f', 'no', 'n', '0') THEN false
    END;

-- `zone` is '', 'Z', or a sign with HH, HHMM or HH:MM.
CREATE MACRO zone_minutes(zone) AS
    CASE
        WHEN zone IN ('', 'Z') THEN 0
        ELSE (
            CAST(substr(zone, 2, 2) AS INTEGER) * 60
            + CASE WHEN length(zone) > 3 THEN CAST(right(zone, 2) AS INTEGER) ELSE 0 END
        ) * CASE WHEN zone[1] = '-' THEN -1 ELSE 1 END
    END;

CREATE MACRO within_years(instant) AS
    CASE WHEN year(instant) BETWEEN 1 AND 9999 THEN instant END;

-- Text of another form has the day ''.
CREATE MACRO timestamp_parts(value) AS
    regexp_extract(
        value,
        '^([0-9]{4}-[0-9]{2}-[0-9]{2})'
        '(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?))?'
        '(Z|[+-][0-9]{2}(?::?[0-5][0-9])?)?$',
        ['day', 'time', 'zone']
    );

CREATE MACRO instant_from_parts(day, time, zone) AS
    CASE
        WHEN day >= '0001' AND abs(zone_minutes(zone)) <= 14 * 60 THEN within_years(
            TRY_CAST(day || ' ' || CASE WHEN time = '' THEN '00:00:00' ELSE time END AS TIMESTAMP)
            - to_minutes(zone_minutes(zone))
        )
    END;

CREATE MACRO parse_timestamp(value) AS
    CASE
        WHEN regexp_full_match(value, '[0-9]{10}') THEN make_timestamp(CAST(value AS BIGINT) * 1000000)
        WHEN regexp_full_match(value, '[0-9]{13}') THEN make_timestamp(CAST(value AS BIGINT) * 1000)
        ELSE instant_from_parts(
            timestamp_parts(value).day, timestamp_parts(value).time, timestamp_parts(value).zone
        )
    END;

CREATE MACRO parse_text(value) AS value;

-- As text: the form of the test vectors, and of the timestamp in a surrogate key.
CREATE MACRO timestamp_text(instant) AS strftime(instant, '%Y-%m-%d %H:%M:%S.%f');
