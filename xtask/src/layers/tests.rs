//! Trees that keep the ranks, and trees that break them in each way there is.

use super::check;
use crate::report::Failure;

const MAP: &str = "//! The map of the crate, see [`engine`].
//!
//! Only lower ranks: 0 `config error` · 1 `auth engine` ·
//! 5 `app` · 6 `api` · 8 `lib main cli`.
pub mod api;
";

/// What the check finds in a gateway of these files, as `file:line: text`.
fn findings(tree: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in tree.iter().chain(&[("lib.rs", MAP)]) {
        let path = root.path().join("gateway/src").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    match check(root.path()) {
        Ok(()) => Vec::new(),
        Err(Failure::Findings(findings)) => findings.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn assert_one(tree: &[(&str, &str)], beginning: &str) {
    let found = findings(tree);
    assert!(found.len() == 1 && found[0].starts_with(beginning), "wanted {beginning:?}, found {found:#?}");
}

fn assert_none(tree: &[(&str, &str)]) {
    assert_eq!(findings(tree), Vec::<String>::new());
}

#[test]
fn imports_from_lower_ranks_and_from_the_module_itself_pass() {
    assert_none(&[
        ("api/chat.rs", "use crate::{app::App, api::payload, error::{ApiError, Kind}};\nuse super::payload;"),
        ("app.rs", "use crate::config::Config;\nfn f() { crate::auth::check(); }"),
        ("main.rs", "fn main() { gateway::cli::run(); }"),
        ("cli/mod.rs", "use crate::api::routes;"),
    ]);
}

#[test]
fn an_import_from_a_higher_rank_is_found_with_its_line() {
    assert_one(
        &[("error.rs", "use std::fmt;\nuse crate::app::App;")],
        "gateway/src/error.rs:2: `error` (rank 0) imports from `app` (rank 5)",
    );
}

#[test]
fn an_import_from_the_same_rank_is_found() {
    assert_one(
        &[("auth/mod.rs", "use crate::engine::Engine;")],
        "gateway/src/auth/mod.rs:1: `auth` (rank 1)",
    );
}

#[test]
fn a_higher_rank_is_found_in_every_way_of_naming_it() {
    for source in [
        "use crate::{config::A, api::B};",
        "use crate::{config::{A, C}, api};",
        "fn f() -> crate::api::B { todo() }",
        "fn f() { vec![crate::api::b()] }",
        "pub(crate) use crate :: api;",
        "use super::api::B;",
        "use super::{config, api::B};",
        "mod inner { use super::super::api::B; }",
        "mod inner { use super::{super::api::B}; }",
        "macro_rules! m { () => { $crate::api::b() } }",
    ] {
        assert_one(&[("auth.rs", source)], "gateway/src/auth.rs:1: `auth` (rank 1) imports from `api`");
    }
}

#[test]
fn super_in_a_file_below_a_module_reaches_the_root_only_when_it_leaves_the_module() {
    assert_none(&[("auth/keys/store.rs", "use super::super::api::B;\nuse super::api;")]);
    assert_one(
        &[("auth/keys/store.rs", "use super::super::super::api::B;")],
        "gateway/src/auth/keys/store.rs:1:",
    );
}

#[test]
fn words_in_comments_and_strings_are_no_imports() {
    assert_none(&[(
        "error.rs",
        "//! See [`crate::api`].\n// crate::api\n/* use crate::api; */\nconst A: &str = \"crate::api\";\n\
         const B: &str = r#\"use crate::api;\"#;\npub(crate) struct C;",
    )]);
}

#[test]
fn tests_may_import_what_they_like() {
    assert_none(&[
        ("error/tests.rs", "use crate::api::B;"),
        ("error/mod.rs", "#[cfg(test)]\nmod tests { use crate::api::B; }\n#[cfg(test)]\nmod more;"),
        (
            "config.rs",
            "#[cfg(test)]\nuse crate::api::B;\n#[cfg(all(test, unix))]\n#[expect(x)]\nfn f() { crate::api::b() }",
        ),
    ]);
}

#[test]
fn code_after_a_test_and_code_for_no_test_is_still_checked() {
    assert_one(&[("error.rs", "#[cfg(test)]\nmod tests {}\nuse crate::api::B;")], "gateway/src/error.rs:3:");
    assert_one(&[("error.rs", "#[cfg(not(test))]\nuse crate::api::B;")], "gateway/src/error.rs:2:");
}

#[test]
fn a_module_without_a_rank_is_found() {
    assert_one(&[("misc.rs", "")], "gateway/src/misc.rs:1: module `misc` has no rank");
}

#[test]
fn an_item_of_the_crate_root_is_no_module() {
    assert_one(
        &[("app.rs", "use crate::VERSION;")],
        "gateway/src/app.rs:1: `crate::VERSION` is no ranked module",
    );
}

#[test]
fn only_the_llama_engine_names_llama_cpp() {
    assert_none(&[("engine/llama/context.rs", "use llama_cpp_2::context::LlamaContext;")]);
    assert_one(
        &[("engine/upstream.rs", "use llama_cpp_2::model::LlamaModel;")],
        "gateway/src/engine/upstream.rs:1: `llama_cpp_2` is for engine/llama alone",
    );
}

#[test]
fn a_file_that_is_not_rust_is_found_not_passed_over() {
    assert_one(&[("app.rs", "//! Fine.\nfn f() {")], "gateway/src/app.rs:");
}
