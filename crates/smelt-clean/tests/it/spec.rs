//! Specs that cannot work are refused when they are built, with the column that is wrong.

use smelt_clean::{Cleaner, ColumnSpec, EntitySpec, Kind, Limits, SpecError};

use crate::support::{money, null_texts, orders, texts};

fn error(spec: &EntitySpec) -> String {
    let error = Cleaner::new(spec, Limits::default()).err().expect("a refusal");
    assert_eq!(spec.validate(), Err(error.clone()));
    error.to_string()
}

fn with(change: impl FnOnce(&mut EntitySpec)) -> EntitySpec {
    let mut spec = orders();
    change(&mut spec);
    spec
}

#[test]
fn the_reference_orders_are_a_valid_spec() {
    assert_eq!(orders().validate(), Ok(()));
    assert_eq!(texts(&["a"]).validate(), Ok(()));
}

#[test]
fn a_spec_without_sensible_columns_key_or_version_is_refused() {
    assert_eq!(error(&with(|spec| spec.key.clear())), "an entity needs at least one key column");
    assert_eq!(error(&with(|spec| spec.key.push(9))), "there is no column number 9");
    assert_eq!(error(&with(|spec| spec.version = 10)), "there is no column number 10");
    assert_eq!(
        error(&with(|spec| spec.version = 3)),
        "`currency` orders the images of a row, so its kind must be timestamp, not code"
    );
    assert_eq!(error(&with(|spec| spec.columns[3].name = "order_id".into())), "column `order_id` is declared twice");
    for name in ["_op", "_deleted", "_position"] {
        let refused = error(&with(|spec| spec.columns[3].name = name.into()));
        assert_eq!(refused, format!("column name `{name}` is reserved"));
    }
}

#[test]
fn money_that_no_decimal_holds_is_refused() {
    for (precision, scale) in [(0, 0), (39, 2), (18, -1), (2, 3)] {
        let kind = Kind::Money { precision, scale };
        let spec = with(|spec| spec.columns[3].kind = kind);
        assert!(matches!(spec.validate(), Err(SpecError::MoneyDigits { .. })));
    }
    for (precision, scale) in [(1, 0), (38, 38), (38, 0)] {
        let kind = Kind::Money { precision, scale };
        assert_eq!(with(|spec| spec.columns[3].kind = kind).validate(), Ok(()));
    }
}

#[test]
fn defaults_and_bounds_must_be_values_of_their_column() {
    let column = |kind: Kind, set: &dyn Fn(&mut ColumnSpec)| {
        let mut column = ColumnSpec::new("value", kind);
        set(&mut column);
        let mut spec = texts(&[]);
        spec.null_texts = null_texts();
        spec.columns.push(column);
        spec
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        error(&column(money(), &|column| column.default = text("1e2"))),
        "the default of `value` is not valid as money: `1e2`"
    );
    assert_eq!(
        error(&column(Kind::Text, &|column| column.default = text(" N/A "))),
        "the default of `value` is not valid as text: ` N/A `"
    );
    assert_eq!(
        error(&column(Kind::Count, &|column| column.minimum = text("1.0"))),
        "the minimum of `value` is not valid as count: `1.0`"
    );
    assert_eq!(
        error(&column(Kind::Flag, &|column| column.maximum = text("true"))),
        "`value` cannot have a maximum: only money, counts and timestamps have an order, flag has none"
    );
    let crossed = |column: &mut ColumnSpec| {
        column.minimum = text("2");
        column.maximum = text("1");
    };
    assert_eq!(error(&column(Kind::Count, &crossed)), "no value of `value` is at least 2 and at most 1");
    let outside = |column: &mut ColumnSpec| {
        column.minimum = text("0");
        column.default = text("-0.005");
    };
    assert_eq!(error(&column(money(), &outside)), "the default -0.005 of `value` is outside its bounds");
}

#[test]
fn a_status_alias_that_never_applies_is_refused() {
    let aliases = |aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (alias.to_string(), "x".to_owned())).collect();
        with(|spec| spec.columns[2].kind = Kind::Status { aliases })
    };
    assert_eq!(aliases(&["in_transit", "new"]).validate(), Ok(()));
    for wrong in [&["In_Transit"][..], &["in transit"], &["in-transit"], &["new", "new"]] {
        assert!(matches!(aliases(wrong).validate(), Err(SpecError::Alias { .. })), "{wrong:?}");
    }
}
