-- The value rules of the reference warehouse, tuned. Each `parse_<kind>` takes a value as it stands in the extract,
-- knows its usual spelling by one or two cheap tests, and leaves the rest to slower exact ones; NULL means that the value
-- is missing or does not parse, and `clean_text` tells which. A macro's argument is evaluated wherever it is named, so
-- that only columns are ever named twice.

CREATE MACRO clean_text(raw) AS
    CASE
        WHEN raw >= '!' AND right(raw, 1) > ' ' THEN
            CASE
                WHEN strlen(raw) > 4 THEN raw
                WHEN raw = 'null' OR raw = 'NULL' OR raw = 'N/A' OR raw = 'n/a' OR raw = '\N' THEN NULL
                ELSE raw
            END
        WHEN regexp_full_match(raw, '[ \t\n\v\f\r]*(null|NULL|N/A|n/a|\\N)?[ \t\n\v\f\r]*') THEN NULL
        ELSE regexp_replace(raw, '^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$', '', 'g')
    END;

CREATE MACRO parse_text(raw) AS clean_text(raw);

-- DuckDB's own case changes are quick but know more letters than ASCII's, hence the tests for ASCII.
CREATE MACRO upper_letters(value) AS
    translate(value, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ');

CREATE MACRO lower_letters(value) AS
    translate(value, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz');

CREATE MACRO without_white_space(value) AS regexp_replace(value, '[ \t\n\v\f\r]', '', 'g');

CREATE MACRO parse_identifier(raw) AS
    CASE
        WHEN regexp_full_match(raw, '[!-`{-~]{5,}') THEN raw
        WHEN strlen(raw) = length(raw) THEN upper(without_white_space(clean_text(raw)))
        ELSE upper_letters(without_white_space(clean_text(raw)))
    END;

CREATE MACRO parse_email(raw) AS
    CASE
        WHEN regexp_full_match(raw, '[!-~]{5,}') THEN lower(raw)
        WHEN strlen(raw) = length(raw) THEN lower(clean_text(raw))
        ELSE lower_letters(clean_text(raw))
    END;

CREATE MACRO parse_code(raw) AS
    CASE
        WHEN regexp_full_match(raw, '[A-Z]{2,3}') THEN raw
        WHEN strlen(raw) = length(raw) THEN upper(clean_text(raw))
        ELSE upper_letters(clean_text(raw))
    END;

CREATE MACRO with_underscores(value) AS replace(replace(value, ' ', '_'), '-', '_');

CREATE MACRO parse_status(raw) AS
    CASE
        WHEN regexp_full_match(raw, '[a-z_]{5,}') AND raw <> 'canceled' AND raw <> 'complete' AND raw <> 'in_transit'
        THEN raw
        WHEN regexp_full_match(raw, '(?i)[ \t\n\v\f\r]*canceled[ \t\n\v\f\r]*') THEN 'cancelled'
        WHEN regexp_full_match(raw, '(?i)[ \t\n\v\f\r]*complete[ \t\n\v\f\r]*') THEN 'completed'
        WHEN regexp_full_match(raw, '(?i)[ \t\n\v\f\r]*in[ _-]transit[ \t\n\v\f\r]*') THEN 'shipped'
        WHEN strlen(raw) = length(raw) THEN with_underscores(lower(clean_text(raw)))
        ELSE with_underscores(lower_letters(clean_text(raw)))
    END;

CREATE MACRO parse_money(raw) AS
    CASE
        WHEN regexp_full_match(raw, '-?[0-9]+(\.[0-9]+)?') THEN TRY_CAST(raw AS DECIMAL(18, 2))
        WHEN regexp_full_match(
            raw, '[ \t\n\v\f\r]*([$€£¥] ?)?[+-]?([0-9][0-9,]*(\.[0-9]*)?|\.[0-9]+)[ \t\n\v\f\r]*'
        )
        THEN TRY_CAST(regexp_replace(raw, '[$€£¥, \t\n\v\f\r]', '', 'g') AS DECIMAL(18, 2))
    END;

CREATE MACRO parse_count(raw) AS
    CASE
        WHEN strlen(raw) = 1 AND raw >= '0' AND raw <= '9' THEN ascii(raw) - 48
        WHEN regexp_full_match(raw, '[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*')
        THEN TRY_CAST(without_white_space(raw) AS INTEGER)
    END;

CREATE MACRO parse_flag(raw) AS
    CASE
        WHEN raw = 'true' THEN true
        WHEN raw = 'false' THEN false
        WHEN regexp_full_match(raw, '(?i)[ \t\n\v\f\r]*(true|t|yes|y|1)[ \t\n\v\f\r]*') THEN true
        WHEN regexp_full_match(raw, '(?i)[ \t\n\v\f\r]*(false|f|no|n|0)[ \t\n\v\f\r]*') THEN false
    END;

CREATE MACRO within_years(instant) AS
    CASE WHEN instant >= TIMESTAMP '0001-01-01' AND instant < TIMESTAMP '10000-01-01' THEN instant END;

CREATE MACRO as_instant(value) AS make_timestamp(epoch_us(TRY_CAST(value AS TIMESTAMPTZ)));

-- The first test leaves out what the cast would take beyond the rules: year 0, hour 24, a point without a fraction.
CREATE MACRO parse_timestamp(raw) AS
    CASE
        WHEN raw LIKE '____-__-__T__:__:__%Z' AND strlen(raw) <= 27 AND strlen(raw) <> 21
            AND raw >= '0001' AND NOT contains(raw, 'T24')
        THEN as_instant(raw)
        WHEN regexp_full_match(raw, '[ \t\n\v\f\r]*[0-9]{10}[ \t\n\v\f\r]*')
        THEN make_timestamp(CAST(without_white_space(raw) AS BIGINT) * 1000000)
        WHEN regexp_full_match(raw, '[ \t\n\v\f\r]*[0-9]{13}[ \t\n\v\f\r]*')
        THEN make_timestamp(CAST(without_white_space(raw) AS BIGINT) * 1000)
        WHEN regexp_full_match(
            raw,
            '[ \t\n\v\f\r]*[0-9]{4}-[0-9]{2}-[0-9]{2}'
            '([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?'
            '(Z|[+-](0[0-9]|1[0-3])(:?[0-5][0-9])?|[+-]14(:?00)?)?)?[ \t\n\v\f\r]*'
        )
        THEN within_years(as_instant(clean_text(raw)))
        -- A bare date with a zone, which the cast does not know.
        WHEN regexp_full_match(
            raw,
            '[ \t\n\v\f\r]*[0-9]{4}-[0-9]{2}-[0-9]{2}'
            '(Z|[+-](0[0-9]|1[0-3])(:?[0-5][0-9])?|[+-]14(:?00)?)[ \t\n\v\f\r]*'
        )
        THEN within_years(as_instant(regexp_replace(clean_text(raw), '^.{10}', '\0 00:00:00')))
    END;
