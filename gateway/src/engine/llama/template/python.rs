//! The Jinja environment that chat templates are written for: that of Hugging Face's Python library, bounded.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::clock::strftime;

/// Steps that one render may take, 64 bytes handled being one: about 0.05 s, and 64 MB at the very most.
const FUEL: u64 = 1_000_000;
/// Deepest nesting of blocks and macros.
const RECURSION: usize = 100;

/// What `raise_exception` said; found again in the chain of the render's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

/// Says what time it is, in seconds since the Unix epoch.
pub type Clock = fn() -> u64;

/// An environment without templates.
pub(super) fn environment(clock: Clock) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: &str| strftime(format, clock()));
    Ok(environment)
}

/// Makes plain blocks of `{% generation %}`, with which templates mark what a trainer learns from.
pub(super) fn without_training_blocks(source: &str) -> String {
    let mut plain = source.to_owned();
    if !plain.contains("generation %}") && !plain.contains("generation -%}") {
        return plain;
    }
    for open in ["{%", "{%-", "{%+"] {
        for close in ["%}", "-%}", "+%}"] {
            plain = plain.replace(&format!("{open} generation {close}"), &format!("{open} if true {close}"));
            plain = plain.replace(&format!("{open} endgeneration {close}"), &format!("{open} endif {close}"));
        }
    }
    plain
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template")
        .with_source(Raised(message.to_owned())))
}

/// Python's `json.dumps(value, ensure_ascii=False)`: spaces after commas and colons, nothing escaped for HTML.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    // Accepted as they are: non-ASCII is never escaped, keys keep their order, separators are Python's.
    for ignored in ["ensure_ascii", "sort_keys", "separators"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    let text = match indent {
        None => dump(value, Spaced),
        // Wider than any template asks for: the width is not an amplifier.
        Some(width) => dump(value, PrettyFormatter::with_indent(" ".repeat(width.min(16)).as_bytes())),
    };
    text.map(Value::from_safe_string)
}

fn dump(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let failed =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, "not JSON").with_source(error);
    let mut bytes = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// One line, with Python's separators.
pub(super) struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
