//! smelt: a medallion e-commerce data warehouse in one binary.
//!
//! The rooms, in the order in which data flows through them:
//!
//! | room | what happens there |
//! |---|---|
//! | [`project`] | the user's folder: settings, contracts, the template of a new project |
//! | [`bronze`] | extracts land, untouched, once |
//! | [`silver`] | contracts clean them: parse, standardise, validate, deduplicate, upsert |
//! | [`gold`] | models make the star schema |
//! | [`quality`] | the rules of contracts and models, as queries |
//! | [`run`] | from what is new to one published snapshot: plan, execute, audit, publish |
//! | [`query`], [`serve`] | questions: on the command line, over the wire |
//! | [`cli`] | the commands |
//!
//! Under all of them: [`lake`] (objects, Delta tables, snapshots), [`engine`] (DataFusion that
//! reads Redshift's SQL), [`error`] and [`clock`].

pub mod project;
pub mod query;
pub mod serve;

pub mod cli;
pub mod shell;
