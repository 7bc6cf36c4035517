//! Projects on disk: order, owners, tests, and every mistake with its place.

use std::path::Path;

use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    gold::{Models, Relation},
    project::Severity,
};

const PROJECT: (&str, &str) = ("dbt_project.yml", "name: shop\nvars: {limit: 3, shop: {scoped: x}}\n");
const SOURCES: [&str; 3] = ["orders_cleaned", "customers_cleaned", "customers_cleaned_history"];

fn load(files: &[(&str, &str)]) -> Result<Models> {
    let folder = TempDir::new().unwrap();
    for (name, text) in std::iter::once(&PROJECT).chain(files) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    read(folder.path())
}

fn read(root: &Path) -> Result<Models> {
    Models::read(root, &SOURCES.iter().map(ToString::to_string).collect())
}

/// The place, message and hint of a failed load.
fn failure(files: &[(&str, &str)]) -> (String, String) {
    let error: Error = load(files).expect_err("must not load");
    let place = error.place().map(|(file, line, column)| format!("{file}:{line}:{column}")).unwrap_or_default();
    (place, format!("{error} / {}", error.hint_text().unwrap_or_default()))
}

const OWNED: &str = "models:\n  - {name: a, meta: {owner: me}}\n  - {name: b, config: {meta: {owner: you}}}\n";

#[test]
fn models_come_after_what_they_read_with_owners_keys_and_checks() {
    let models = load(&[
        ("models/x/a.sql", "{{ config(sort_key='id') }}\nselect id from {{ ref('b') }} join {{ source('staging', 'orders_cleaned') }} using (id) join {{ ref('b') }} as again using (id)"),
        ("models/b.sql", "with a as (select 1 as id) select id from a limit {{ var('limit') }}"),
        (
            "models/schema.yml",
            "models:
  - name: a
    description: The first.
    meta: {owner: me}
    data_tests:
      - dbt_utils.unique_combination_of_columns: {arguments: {combination_of_columns: [id, day]}, config: {where: id > 0}}
    columns:
      - name: id
        data_tests:
          - unique
          - not_null
          - relationships: {to: ref('b'), field: id, config: {severity: WARN}}
          - accepted_values: {values: [1, it's], name: known}
  - {name: b, config: {meta: {owner: you}}}
",
        ),
        ("tests/no_rows.sql", "{{ config(severity='warn') }} select * from {{ ref('a') }} where id < 0"),
    ])
    .unwrap();
    let order: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(order, ["b", "a"]);
    let a = models.get("a").unwrap();
    let source = Relation::Source { schema: "staging".into(), table: "orders_cleaned".into() };
    assert_eq!(a.inputs, [Relation::Model("b".into()), source]);
    assert_eq!(
        (a.owner.as_str(), a.description.as_str(), models.get("b").unwrap().owner.as_str()),
        ("me", "The first.", "you")
    );
    assert_eq!((a.sort_key.clone(), a.unique_keys.clone()), (vec!["id".to_owned()], vec![vec!["id".to_owned()]]));
    let checks: Vec<(&str, Severity, &str)> =
        models.checks().iter().map(|check| (check.name.as_str(), check.severity, check.sql.text())).collect();
    assert_eq!(
        checks,
        [
            (
                "unique_a_id_day",
                Severity::Error,
                "SELECT id, day, COUNT(*) AS row_count FROM (SELECT * FROM gold.a WHERE id > 0) AS tested GROUP BY id, day HAVING COUNT(*) > 1"
            ),
            (
                "unique_a_id",
                Severity::Error,
                "SELECT id, COUNT(*) AS row_count FROM gold.a AS tested WHERE id IS NOT NULL GROUP BY id HAVING COUNT(*) > 1"
            ),
            ("not_null_a_id", Severity::Error, "SELECT * FROM gold.a AS tested WHERE id IS NULL"),
            (
                "relationships_a_id_b",
                Severity::Warn,
                "SELECT * FROM gold.a AS tested WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM gold.b AS parent WHERE parent.id = tested.id)"
            ),
            ("known", Severity::Error, "SELECT * FROM gold.a AS tested WHERE id NOT IN ('1', 'it''s')"),
            ("no_rows", Severity::Warn, " select * from gold.a where id < 0"),
        ]
    );
    assert_eq!(models.checks()[5].owner, "me");
    assert!(models.get("aa").unwrap_err().hint_text().unwrap().contains("`a`"));
}

#[test]
fn fingerprints_change_with_what_decides_rows_and_with_nothing_else() {
    let fingerprint = |sql: &str, yaml: &str| {
        load(&[("models/a.sql", sql), ("models/schema.yml", yaml)]).unwrap().get("a").unwrap().fingerprint.clone()
    };
    let plain = "models:\n  - {name: a, meta: {owner: me}}\n";
    let described =
        "models:\n  - {name: a, meta: {owner: you}, description: A., columns: [{name: x, data_tests: [unique]}]}\n";
    let first = fingerprint("select 3 as x", plain);
    assert_eq!(first, fingerprint("-- the x\nSELECT {{ var('limit') }}\n  AS x;\n", described));
    assert_ne!(first, fingerprint("select 4 as x", plain));
    assert_ne!(first, fingerprint("select 3 as y", plain));
    let keyed = "models:\n  - {name: a, meta: {owner: me}, columns: [{name: x, data_tests: [unique, not_null]}]}\n";
    assert_ne!(first, fingerprint("select 3 as x", keyed));

    let reader = |b: &str| {
        let yaml = format!("models:\n  - {{name: a, meta: {{owner: me}}}}\n  - {{name: b, meta: {{owner: me}}{b}}}\n");
        let files = [
            ("models/a.sql", "select x from {{ ref('b') }}"),
            ("models/b.sql", "select 1 as x"),
            ("models/schema.yml", &yaml),
        ];
        load(&files).unwrap().get("a").unwrap().fingerprint.clone()
    };
    assert_ne!(reader(""), reader(", columns: [{name: x, data_tests: [unique, not_null]}]"), "of what it reads, too");
    assert_eq!(reader(""), reader(", columns: [{name: x, data_tests: [not_null]}]"));
}

#[test]
fn mistakes_point_at_their_place_and_name_what_is_near() {
    let yaml = ("models/schema.yml", OWNED);
    let b = ("models/b.sql", "select 1 as id");
    for (files, place, message) in [
        (
            vec![b, ("models/a.sql", "select 1\nfrom {{ ref('bb') }}"), yaml],
            "models/a.sql:2:6",
            "there is no model `gold.bb` / did you mean `ref('b')`?",
        ),
        (
            vec![b, ("models/a.sql", "select 1\nfrom {{ source('staging', 'order_cleaned') }}"), yaml],
            "models/a.sql:2:6",
            "there is no source `staging.order_cleaned` / did you mean `source('staging', 'orders_cleaned')`?",
        ),
        (vec![b, ("models/a.sql", "select 1\nfrom b"), yaml], "models/a.sql:2:6", "write `{{ ref('b') }}`"),
        (
            vec![b, ("models/a.sql", "select 1\n from pg_catalog.pg_class"), yaml],
            "models/a.sql:2:7",
            "a model cannot read `pg_catalog.pg_class`",
        ),
        (vec![b, ("models/a.sql", "select 1 frm x y"), yaml], "models/a.sql:1:14", "not SQL that smelt understands"),
        (vec![b, ("models/a.sql", "select 1; drop table x"), yaml], "models/a.sql:1:11", "second statement"),
        (vec![b, ("models/a.sql", "delete from x"), yaml], "models/a.sql:1:1", "only SELECT"),
        (vec![b, ("models/a.sql", "  \n-- nothing"), yaml], "models/a.sql:1:1", "no SQL"),
        (vec![b, ("models/a.sql", "select 'open"), yaml], "models/a.sql:1:8", "not SQL"),
        (vec![b, ("models/A-b.sql", "select 1"), yaml], "models/A-b.sql:1:1", "not called like a table"),
        (
            vec![b, ("models/a.sql", "select 1"), ("models/sub/a.sql", "select 2"), yaml],
            "models/sub/a.sql:1:1",
            "both called `a`",
        ),
        (vec![b, yaml], "models/schema.yml:2:12", "there is no model `a` / did you mean `b`?"),
        (vec![b], "models/b.sql:1:1", "has no owner"),
        (
            vec![b, ("models/schema.yml", "models:\n  - name: b\n    meta: {owner: ''}\n")],
            "models/schema.yml:2:5",
            "model `b` has no owner",
        ),
        (
            vec![b, ("models/schema.yml", "models:\n  - name: b\n    columms: []\n")],
            "models/schema.yml:3:14",
            "did you mean `columns`?",
        ),
        (vec![b, ("models/schema.yml", "models: []\nsources: []\n")], "models/schema.yml:2:10", "`contracts/`"),
        (
            vec![
                b,
                (
                    "models/schema.yml",
                    "models:\n  - name: b\n    meta: {owner: me}\n    columns:\n      - name: id\n        data_tests: [uniqe]\n",
                ),
            ],
            "models/schema.yml:6:22",
            "there is no test `uniqe` / did you mean `unique`?",
        ),
        (
            vec![
                b,
                (
                    "models/schema.yml",
                    "models:\n  - name: b\n    meta: {owner: me}\n    columns:\n      - name: id\n        data_tests:\n          - relationships: {to: ref('c'), field: id}\n",
                ),
            ],
            "models/schema.yml:7:13",
            "there is no table `gold.c`",
        ),
        (
            vec![
                b,
                (
                    "models/schema.yml",
                    "models:\n  - name: b\n    meta: {owner: me}\n    data_tests:\n      - accepted_values: {values: [1]}\n",
                ),
            ],
            "models/schema.yml:5:9",
            "belongs to a column",
        ),
        (
            vec![
                b,
                ("models/schema.yml", "models:\n  - {name: b, meta: {owner: me}}\n"),
                ("tests/t.sql", "select 1 as x"),
            ],
            "tests/t.sql:1:1",
            "reads no model",
        ),
    ] {
        let (found, text) = failure(&files);
        assert!(text.contains(message), "{text}\nwanted {message}");
        assert_eq!(found, place, "{text}");
    }
}

#[test]
fn a_circle_is_named_whole() {
    let yaml = (
        "models/schema.yml",
        "models: [{name: a, meta: {owner: me}}, {name: b, meta: {owner: me}}, {name: c, meta: {owner: me}}]\n",
    );
    let (place, text) = failure(&[
        ("models/a.sql", "select 1 from {{ ref('b') }}"),
        ("models/b.sql", "select 1 from {{ ref('c') }}"),
        ("models/c.sql", "select 1 from {{ ref('b') }}"),
        yaml,
    ]);
    assert!(text.contains("b → c → b"), "{text}");
    assert_eq!(place, "models/b.sql:1:1");
}

#[test]
fn two_tests_of_one_name_are_an_error() {
    let yaml =
        "models:\n  - name: b\n    meta: {owner: me}\n    columns:\n      - {name: id, data_tests: [unique, unique]}\n";
    let (place, text) = failure(&[("models/b.sql", "select 1 as id"), ("models/schema.yml", yaml)]);
    assert!(text.contains("two tests `unique_b_id`"), "{text}");
    assert!(place.starts_with("models/schema.yml:5"), "{place}");
}

#[test]
fn dbt_settings_are_read_and_hooks_refused() {
    let folder = TempDir::new().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("dbt_project.yml"), text).unwrap();
    assert!(read(folder.path()).unwrap_err().message().contains("no dbt_project.yml"));
    write("name: shop\nversion: 1.0.0\nprofile: x\nmodel-paths: [sql]\nmodels: {shop: {+materialized: table}}\n");
    assert_eq!(read(folder.path()).unwrap().iter().count(), 0);
    write("name: shop\non-run-end: [drop table x]\n");
    assert_eq!(read(folder.path()).unwrap_err().place(), Some(("dbt_project.yml", 2, 13)));
}
