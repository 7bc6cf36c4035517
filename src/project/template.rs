//! The project that `smelt init` writes: the e-commerce reference warehouse.
//!
//! All that the reference says is in these files, for users to change; none of it is in the code.

/// Its files: path below the project, and text.
pub const FILES: &[(&str, &str)] = &[
    ("smelt.yml", include_str!("../../template/smelt.yml")),
    ("README.md", include_str!("../../template/README.md")),
    (".gitignore", include_str!("../../template/.gitignore")),
    ("contracts/customers.odcs.yaml", include_str!("../../template/contracts/customers.odcs.yaml")),
    ("contracts/products.odcs.yaml", include_str!("../../template/contracts/products.odcs.yaml")),
    ("contracts/orders.odcs.yaml", include_str!("../../template/contracts/orders.odcs.yaml")),
    ("contracts/order_items.odcs.yaml", include_str!("../../template/contracts/order_items.odcs.yaml")),
    ("contracts/payments.odcs.yaml", include_str!("../../template/contracts/payments.odcs.yaml")),
    ("contracts/shipments.odcs.yaml", include_str!("../../template/contracts/shipments.odcs.yaml")),
    ("dbt_project.yml", include_str!("../../template/dbt_project.yml")),
    ("models/dimensions/schema.yml", include_str!("../../template/models/dimensions/schema.yml")),
    ("models/dimensions/dim_date.sql", include_str!("../../template/models/dimensions/dim_date.sql")),
    ("models/dimensions/dim_customers.sql", include_str!("../../template/models/dimensions/dim_customers.sql")),
    ("models/dimensions/dim_products.sql", include_str!("../../template/models/dimensions/dim_products.sql")),
    ("models/facts/schema.yml", include_str!("../../template/models/facts/schema.yml")),
    ("models/facts/fact_orders.sql", include_str!("../../template/models/facts/fact_orders.sql")),
    ("models/facts/fact_order_items.sql", include_str!("../../template/models/facts/fact_order_items.sql")),
    ("models/facts/fact_payments.sql", include_str!("../../template/models/facts/fact_payments.sql")),
    ("models/facts/fact_shipments.sql", include_str!("../../template/models/facts/fact_shipments.sql")),
    ("models/marts/schema.yml", include_str!("../../template/models/marts/schema.yml")),
    ("models/marts/daily_sales.sql", include_str!("../../template/models/marts/daily_sales.sql")),
    ("models/marts/customer_lifetime.sql", include_str!("../../template/models/marts/customer_lifetime.sql")),
    ("tests/amounts_reconcile.sql", include_str!("../../template/tests/amounts_reconcile.sql")),
    (
        "tests/customers_have_one_current_version.sql",
        include_str!("../../template/tests/customers_have_one_current_version.sql"),
    ),
    (
        "tests/products_have_one_current_version.sql",
        include_str!("../../template/tests/products_have_one_current_version.sql"),
    ),
    (
        "tests/customer_versions_do_not_overlap.sql",
        include_str!("../../template/tests/customer_versions_do_not_overlap.sql"),
    ),
    (
        "tests/product_versions_do_not_overlap.sql",
        include_str!("../../template/tests/product_versions_do_not_overlap.sql"),
    ),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::FILES;

    #[test]
    fn every_file_of_the_template_is_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
        let mut found: BTreeSet<String> =
            crate::project::files_below(&root, "", "").unwrap().into_iter().map(|(name, _)| name).collect();
        for (name, text) in FILES {
            assert!(found.remove(*name), "{name} is listed twice or not there");
            assert!(text.ends_with('\n'), "{name} has no line end");
        }
        assert_eq!(found, BTreeSet::new());
    }
}
