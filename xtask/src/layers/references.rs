//! Finds what a file refers to in its own crate, in `use` lines and in the middle of an expression alike.

use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The crates that wrap llama.cpp.
const LLAMA_CRATES: [&str; 2] = ["llama_cpp_2", "llama_cpp_sys_2"];

/// A place that names a top-level module, or llama.cpp.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// What it names.
    pub(super) target: Target,
    /// The line, from 1.
    pub(super) line: usize,
}

/// What a reference names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The first name after the crate's root.
    Module(String),
    /// A crate that wraps llama.cpp.
    Llama(String),
}

/// A file that is not Rust.
#[derive(Debug)]
pub(super) struct NotRust {
    /// Where it stops being Rust.
    pub(super) line: usize,
    /// Why.
    pub(super) what: String,
}

/// The module that a file below `src` holds; empty for the crate's root.
pub(super) fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = path.last().map(String::as_str);
    if last == Some("mod") || (path.len() == 1 && last == Some("lib")) {
        path.pop();
    }
    path
}

/// All references of a file, without those of code that only tests compile. `depth` is the length of its module path.
pub(super) fn references(source: &str, depth: usize) -> Result<Vec<Reference>, NotRust> {
    let tokens = TokenStream::from_str(source).map_err(|error| NotRust {
        line: error.span().start().line,
        what: format!("is not Rust: {error}"),
    })?;
    let mut scan = Scan { found: Vec::new() };
    scan.walk(tokens, depth);
    Ok(scan.found)
}

struct Scan {
    found: Vec<Reference>,
}

impl Scan {
    /// Goes through code in a module `depth` below the crate's root.
    fn walk(&mut self, tokens: TokenStream, depth: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_test_only(after) => after_item(after),
                TokenTree::Ident(name) if *name == "mod" => self.inline_module(after, depth),
                TokenTree::Ident(name) if *name == "crate" || *name == "super" => self.path(rest, depth),
                TokenTree::Ident(name) if LLAMA_CRATES.iter().any(|llama| *name == llama) => {
                    self.add(Target::Llama(name.to_string()), first);
                    after
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream(), depth);
                    after
                }
                _ => after,
            };
        }
    }

    /// `mod name { … }` is one level deeper; of `mod name;` nothing is to be seen here.
    fn inline_module<'a>(&mut self, after: &'a [TokenTree], depth: usize) -> &'a [TokenTree] {
        if let [TokenTree::Ident(_), TokenTree::Group(body), rest @ ..] = after {
            self.walk(body.stream(), depth + 1);
            return rest;
        }
        after
    }

    /// Follows `crate::` or a run of `super::` from `depth` levels below the root; returns what comes after.
    fn path<'a>(&mut self, tokens: &'a [TokenTree], depth: usize) -> &'a [TokenTree] {
        let (mut rest, mut depth) = (tokens, depth);
        while let [TokenTree::Ident(name), TokenTree::Punct(a), TokenTree::Punct(b), after @ ..] = rest {
            if a.as_char() != ':' || b.as_char() != ':' {
                break;
            }
            depth = match name.to_string().as_str() {
                "crate" => 0,
                "super" => depth.saturating_sub(1),
                "self" => depth,
                _ => break,
            };
            rest = after;
        }
        match rest {
            // The names of a group stand at the level that its path reached.
            [TokenTree::Group(group), after @ ..]
                if group.delimiter() == Delimiter::Brace && rest.len() < tokens.len() =>
            {
                self.group(group.stream(), depth);
                after
            }
            [name @ TokenTree::Ident(ident), after @ ..] => {
                if depth == 0 && rest.len() < tokens.len() {
                    self.add(Target::Module(ident.to_string()), name);
                }
                after
            }
            [_, after @ ..] => after,
            [] => rest,
        }
    }

    /// The members of `use …::{a, super::b, c::{d}}`.
    fn group(&mut self, members: TokenStream, depth: usize) {
        let members: Vec<TokenTree> = members.into_iter().collect();
        let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
        for member in members.split(comma) {
            match member {
                [TokenTree::Ident(name), ..] if *name == "super" || *name == "self" => {
                    self.path(member, depth);
                }
                [name @ TokenTree::Ident(ident), ..] if depth == 0 => {
                    self.add(Target::Module(ident.to_string()), name);
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, target: Target, at: &TokenTree) {
        self.found.push(Reference { target, line: at.span().start().line });
    }
}

/// True if what follows a `#` is `[cfg(test)]` or `[cfg(all(test, …))]`.
fn is_test_only(after: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(attribute)) = after.first() else { return false };
    let mut parts = attribute.stream().into_iter();
    let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(condition))) = (parts.next(), parts.next())
    else {
        return false;
    };
    name == "cfg" && needs_test(condition.stream())
}

fn needs_test(condition: TokenStream) -> bool {
    let parts: Vec<TokenTree> = condition.into_iter().collect();
    match parts.as_slice() {
        [TokenTree::Ident(name)] => *name == "test",
        [TokenTree::Ident(name), TokenTree::Group(all)] if *name == "all" => {
            all.stream().into_iter().any(|part| matches!(part, TokenTree::Ident(name) if name == "test"))
        }
        _ => false,
    }
}

/// What follows the item that begins with this attribute: an item ends with a `;` or with its body.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let end = tokens.iter().position(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    });
    end.and_then(|end| tokens.get(end + 1..)).unwrap_or_default()
}
