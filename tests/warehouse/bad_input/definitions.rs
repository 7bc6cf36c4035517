//! Slips of the pen in settings, contracts, models and their tests: refused before anything is
//! written, at their file and line, with the near name where there is one.

use crate::shop::Shop;

struct Slip {
    scenario: &'static str,
    file: &'static str,
    /// The first of these texts in the file becomes the other.
    from: &'static str,
    to: &'static str,
    /// In the message.
    says: &'static str,
    /// On the line that the diagnostic marks, which may span several lines after it.
    line: &'static str,
    /// In the hint.
    hint: &'static str,
}

/// Seen while loading the project, so every command refuses.
const WHEN_LOADED: &[Slip] = &[
    Slip {
        scenario: "broken YAML",
        file: "contracts/orders.odcs.yaml",
        from: "schema:\n",
        to: "schema: [\n",
        says: "is not valid YAML",
        line: "  - name: orders",
        hint: "",
    },
    Slip {
        scenario: "an unknown field in a contract",
        file: "contracts/orders.odcs.yaml",
        from: "logicalTypeOptions:",
        to: "logicalTypeOption:",
        says: "logicalTypeOption",
        line: "logicalTypeOption:",
        hint: "did you mean `logicalTypeOptions`?",
    },
    Slip {
        scenario: "an unknown type in a contract",
        file: "contracts/orders.odcs.yaml",
        from: "logicalType: number",
        to: "logicalType: nubmer",
        says: "nubmer",
        line: "logicalType: nubmer",
        hint: "did you mean `number`?",
    },
    Slip {
        scenario: "an unknown normaliser in a contract",
        file: "contracts/payments.odcs.yaml",
        from: "value: money",
        to: "value: mony",
        says: "unknown variant `mony`",
        line: "property: normaliser",
        hint: "did you mean `money`?",
    },
    Slip {
        scenario: "an unknown setting of smelt's in a contract",
        file: "contracts/customers.odcs.yaml",
        from: "property: nullTexts",
        to: "property: nulTexts",
        says: "unknown field `nulTexts`",
        line: "property: nulTexts",
        hint: "did you mean `nullTexts`?",
    },
    Slip {
        scenario: "an entity that no folder can be called by",
        file: "contracts/orders.odcs.yaml",
        from: "  - name: orders\n",
        to: "  - name: ../orders\n",
        says: "`../orders` cannot be the name of a table and its folder",
        line: "name: ../orders",
        hint: "use lower case letters",
    },
    Slip {
        scenario: "two columns that differ in case alone",
        file: "contracts/orders.odcs.yaml",
        from: "- name: currency\n",
        to: "- name: Order_Status\n",
        says: "columns `order_status` and `Order_Status` differ in case alone",
        line: "name: Order_Status",
        hint: "",
    },
    Slip {
        scenario: "a table that is the quarantine's, too",
        file: "contracts/orders.odcs.yaml",
        from: "physicalName: orders_cleaned",
        to: "physicalName: orders_quarantine",
        says: "would write table `orders_quarantine` twice",
        line: "physicalName: orders_quarantine",
        hint: "another `physicalName`",
    },
    Slip {
        scenario: "a version column that the contract does not have",
        file: "contracts/orders.odcs.yaml",
        from: "value: updated_at",
        to: "value: updated_ta",
        says: "has no column `updated_ta`",
        line: "value: updated_ta",
        hint: "did you mean `updated_at`?",
    },
    Slip {
        scenario: "a contract without an owner",
        file: "contracts/shipments.odcs.yaml",
        from: "role: owner",
        to: "role: reader",
        says: "names no owner",
        line: "team:",
        hint: "role: owner",
    },
    Slip {
        scenario: "an unknown setting",
        file: "smelt.yml",
        from: "memory_limit: 2GiB",
        to: "memroy_limit: 2GiB",
        says: "unknown field `memroy_limit`",
        line: "memroy_limit: 2GiB",
        hint: "did you mean `memory_limit`?",
    },
    Slip {
        scenario: "a size that is none",
        file: "smelt.yml",
        from: "memory_limit: 2GiB",
        to: "memory_limit: plenty",
        says: "`plenty` is not a size",
        line: "memory_limit: plenty",
        hint: "",
    },
    Slip {
        scenario: "a model without an owner",
        file: "models/marts/schema.yml",
        from: "    meta: {owner: analytics@shop.example}\n",
        to: "",
        says: "has no owner",
        line: "  - name: ",
        hint: "meta: {owner:",
    },
    Slip {
        scenario: "a description of a model that is not there",
        file: "models/facts/schema.yml",
        from: "name: fact_payments",
        to: "name: fact_payment",
        says: "there is no model `fact_payment`",
        line: "name: fact_payment",
        hint: "did you mean `fact_payments`?",
    },
    Slip {
        scenario: "an unknown test",
        file: "models/facts/schema.yml",
        from: "data_tests: [unique, not_null]",
        to: "data_tests: [uniqe, not_null]",
        says: "there is no test `uniqe`",
        line: "data_tests: [uniqe, not_null]",
        hint: "did you mean `unique`?",
    },
    Slip {
        scenario: "a missing ref",
        file: "models/facts/fact_payments.sql",
        from: "ref('fact_orders')",
        to: "ref('fact_ordres')",
        says: "there is no model `gold.fact_ordres`",
        line: "ref('fact_ordres')",
        hint: "did you mean `ref('fact_orders')`?",
    },
    Slip {
        scenario: "a missing source",
        file: "models/facts/fact_payments.sql",
        from: "'payments_cleaned'",
        to: "'payment_cleaned'",
        says: "there is no source `staging.payment_cleaned`",
        line: "'payment_cleaned'",
        hint: "did you mean `source('staging', 'payments_cleaned')`?",
    },
    Slip {
        scenario: "broken SQL",
        file: "models/facts/fact_payments.sql",
        from: "INNER JOIN",
        to: "INNER JION",
        says: "SQL",
        line: "INNER JION",
        hint: "",
    },
    Slip {
        scenario: "broken Jinja",
        file: "models/facts/fact_payments.sql",
        from: "ref('fact_orders') }}",
        to: "ref('fact_orders')",
        says: "models/facts/fact_payments.sql",
        line: "ref('fact_orders') AS",
        hint: "",
    },
];

/// Seen when a model meets its inputs' columns.
const WHEN_RUN: &[Slip] = &[
    Slip {
        scenario: "a column that no input has",
        file: "models/facts/fact_payments.sql",
        from: "    payments.amount,",
        to: "    payments.amuont,",
        says: "there is no column `payments.amuont`",
        line: "payments.amuont",
        hint: "did you mean `payments.amount`?",
    },
    Slip {
        scenario: "a function that there is not",
        file: "models/facts/fact_payments.sql",
        from: "TO_CHAR(payments.paid_at",
        to: "TO_CHRA(payments.paid_at",
        says: "there is no function `to_chra`",
        line: "TO_CHRA",
        hint: "did you mean `to_char`?",
    },
    Slip {
        scenario: "a described column that the model does not have",
        file: "models/facts/schema.yml",
        from: "name: payment_method",
        to: "name: payment_methud",
        says: "has no column `payment_methud`",
        line: "name: payment_methud",
        hint: "did you mean `payment_method`?",
    },
    Slip {
        scenario: "a sum of floats, which depends on the order of addition",
        file: "models/marts/customer_lifetime.sql",
        from: "COUNT(*) AS order_count",
        to: "SUM(CAST(orders.paid_amount AS FLOAT)) AS order_count",
        says: "over floats",
        line: "AS FLOAT",
        hint: "cast to DECIMAL",
    },
    Slip {
        scenario: "a window whose order has ties",
        file: "models/facts/fact_payments.sql",
        from: "    payments.paid_at\n",
        to: "    payments.paid_at,\n    ROW_NUMBER() OVER (PARTITION BY payments.order_id ORDER BY payments.paid_at) AS turn\n",
        says: "rows may tie",
        line: "AS turn",
        hint: "add to the ORDER BY: payment_id",
    },
];

/// Makes the slip, runs the command, and mends it again.
fn refuses(shop: &Shop, slip: &Slip, command: &str) {
    let Slip { scenario, file, from, to, says, line, hint } = slip;
    let good = shop.read(file);
    shop.edit(file, from, to);
    let lines: Vec<usize> = shop
        .read(file)
        .lines()
        .enumerate()
        .filter(|(_, text)| text.contains(line))
        .map(|(index, _)| index + 1)
        .collect();
    let before = shop.fingerprint();

    let fault = shop.fault(2, [command]);
    assert_eq!(fault.kind, "Input", "{scenario}: {fault:#?}");
    assert!(fault.whole().contains(says), "{scenario}: `{says}` is not said: {fault:#?}");
    let (told, at, _) = fault.place.as_ref().unwrap_or_else(|| panic!("{scenario}: no place in {fault:#?}"));
    assert_eq!(told, file, "{scenario}");
    assert!(lines.contains(&(*at as usize)), "{scenario}: line {at} is told, not one of {lines:?}: {fault:#?}");
    let told = fault.hint.as_deref().unwrap_or_default();
    assert!(told.contains(hint), "{scenario}: the hint is not `{hint}`: {fault:#?}");
    shop.is_untouched_since(&before, scenario);

    // People see the same, with the line itself.
    let shown = shop.smelt([command]).exits(2);
    assert!(shown.stderr.contains(&format!("{file}:{at}:")), "{scenario}: the place is not shown\n{shown}");
    shop.write(file, good);
}

#[test]
fn a_slip_in_a_definition_is_told_at_its_line_and_nothing_is_touched() {
    let shop = Shop::open();
    for slip in WHEN_LOADED {
        refuses(&shop, slip, "plan");
    }
    shop.smelt(["plan"]).ok().says("nothing to do");
}

#[test]
fn a_slip_in_a_models_sql_is_told_before_anything_is_computed() {
    let shop = Shop::open();
    shop.land("orders.jsonl", crate::opening_day::order("o3", "2025-01-05"));
    for slip in WHEN_RUN {
        refuses(&shop, slip, "plan");
        refuses(&shop, slip, "run");
    }
    assert_eq!(shop.snapshots(), [1]);
    assert_eq!(shop.run()["snapshot"], 2, "mended, it runs");
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");
}

/// What only the rows can show is a fault of the data, told with the model's name.
#[test]
fn a_value_that_a_model_cannot_compute_with_is_told_with_the_model() {
    let shop = Shop::open();
    let before = shop.fingerprint();
    shop.edit(
        "models/facts/fact_payments.sql",
        "payments.payment_id,",
        "payments.payment_id,\n    CAST(payments.payment_id AS INTEGER) AS number,",
    );
    let fault = shop.fault(3, ["run"]);
    assert!(fault.message.contains("model `fact_payments` (`models/facts/fact_payments.sql`)"), "{fault:#?}");
    assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("does not fit")), "{fault:#?}");
    shop.is_untouched_since(&before, "a value that does not fit");
}

/// What an entity waits for must be there.
#[test]
fn waiting_for_an_entity_or_with_a_column_that_is_not_there_is_refused() {
    let shop = Shop::open();
    for (from, to, says) in [
        ("order_id, entity: orders}", "order_id, entity: ordres}", "waits for entity `ordres`, which has no contract"),
        ("{column: order_id, entity", "{column: ordre_id, entity", "has no column `ordre_id` to wait with"),
    ] {
        let good = shop.read("contracts/payments.odcs.yaml");
        shop.edit("contracts/payments.odcs.yaml", from, to);
        let fault = shop.fault(2, ["rebuild"]);
        assert!(fault.message.contains(says), "{fault:#?}");
        shop.write("contracts/payments.odcs.yaml", good);
    }
}

/// Models that read each other in a circle are refused, and the circle is spelt out.
#[test]
fn a_circle_of_models_is_told_with_its_members() {
    let shop = Shop::open();
    let before = shop.fingerprint();
    shop.edit("models/facts/fact_orders.sql", "source('staging', 'orders_cleaned')", "ref('customer_lifetime')");
    let fault = shop.fault(2, ["run"]);
    assert!(fault.message.contains("customer_lifetime → fact_orders → customer_lifetime"), "{fault:#?}");
    assert!(fault.place.is_some_and(|(file, ..)| file.ends_with(".sql")));
    shop.is_untouched_since(&before, "a circle");
}

/// All slips of a project are told at once, not one a try.
#[test]
fn several_slips_are_told_together() {
    let shop = Shop::new();
    shop.edit("contracts/orders.odcs.yaml", "role: owner", "role: reader");
    shop.edit("contracts/payments.odcs.yaml", "role: owner", "role: reader");
    let fault = shop.fault(2, ["plan"]);
    assert_eq!(fault.also, 1, "{fault:#?}");
    shop.smelt(["plan"]).exits(2).says("contracts/orders.odcs.yaml").says("contracts/payments.odcs.yaml");
}

/// A contract that was copied with its table's name would write over another entity's rows.
#[test]
fn two_contracts_never_write_one_table() {
    let shop = Shop::open();
    let before = shop.fingerprint();
    let copied = shop.read("contracts/payments.odcs.yaml").replace("- name: payments\n", "- name: returns\n");
    shop.write("contracts/returns.odcs.yaml", copied);
    let fault = shop.fault(2, ["run"]);
    assert!(fault.message.contains("would both write table `payments_cleaned`"), "{fault:#?}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("physicalName")));
    shop.is_untouched_since(&before, "a copied contract");
}

#[test]
fn contracts_for_the_same_entity_or_not_in_utf_8_are_refused_by_name() {
    let shop = Shop::new();
    shop.write("contracts/more/orders.odcs.yaml", shop.read("contracts/orders.odcs.yaml"));
    let fault = shop.fault(2, ["plan"]);
    for said in ["contracts/more/orders.odcs.yaml", "contracts/orders.odcs.yaml", "`orders`"] {
        assert!(fault.message.contains(said), "{fault:#?}");
    }
    shop.write("contracts/more/orders.odcs.yaml", b"name: caf\xe9\n");
    let fault = shop.fault(2, ["plan"]);
    assert!(fault.message.contains("`contracts/more/orders.odcs.yaml` is not UTF-8"), "{fault:#?}");
}

#[test]
fn a_folder_without_a_project_and_a_target_that_is_not_there_say_the_way_out() {
    let nowhere = tempfile::tempdir().unwrap();
    let shop = Shop::new();
    let fault = shop.fault(2, ["--project", &nowhere.path().to_string_lossy(), "status"]);
    assert!(fault.message.contains("there is no smelt project"), "{fault:#?}");
    assert!(fault.hint.unwrap().contains("smelt init"));
    let fault = shop.fault(2, ["--target", "def", "status"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `dev`?"), "{fault:#?}");
    assert_eq!(fault.place.unwrap().0, "smelt.yml");
}
