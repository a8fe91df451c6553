//! Schemas come from outside: what could not be compiled in bounded time and depth is refused before it is tried.

use serde_json::{Value, json};

use super::ConstraintError;

/// Values in a schema, all levels together. The largest published schemas have a fraction of it.
const MOST_VALUES: usize = 20_000;
/// Levels of a schema: several a nested object.
const DEEPEST: usize = 64;
/// Bytes of strings in a schema.
const MOST_TEXT: usize = 512 * 1024;

/// Counts repeat a part of the grammar: above this they are refused instead of multiplied.
const MOST_REPEATS: u64 = 100_000;

/// The schema as the grammar takes it: within bounds, and with JSON's white space kept to one space at a place, since
/// small models that may write white space sometimes write nothing else.
pub(super) fn prepare(schema: &Value, param: &'static str) -> Result<Value, ConstraintError> {
    measure(schema, param)?;
    let mut schema = match schema {
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => json!({}),
        _ => {
            return Err(ConstraintError::refused(
                param,
                "a JSON schema must be an object that some JSON satisfies",
            ));
        }
    };
    if let Value::Object(keywords) = &mut schema {
        keywords.insert("x-guidance".to_owned(), json!({"whitespace_pattern": " "}));
    }
    Ok(schema)
}

fn measure(schema: &Value, param: &'static str) -> Result<(), ConstraintError> {
    let (mut values, mut text) = (0, 0);
    let mut pending = vec![(schema, 0)];
    while let Some((value, depth)) = pending.pop() {
        values += 1;
        match value {
            Value::Object(members) => {
                text += members.keys().map(String::len).sum::<usize>();
                if let Some(keyword) = repeated_too_often(members) {
                    let message = format!("the JSON schema's {keyword} may be at most {MOST_REPEATS}");
                    return Err(ConstraintError::refused(param, message));
                }
                pending.extend(members.values().map(|member| (member, depth + 1)));
            }
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Value::String(string) => text += string.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if depth > DEEPEST {
            let message = format!("the JSON schema is nested more than {DEEPEST} levels deep");
            return Err(ConstraintError::refused(param, message));
        }
        if values > MOST_VALUES || text > MOST_TEXT {
            let message = format!("the JSON schema is too large: at most {MOST_VALUES} values are supported");
            return Err(ConstraintError::refused(param, message));
        }
    }
    Ok(())
}

fn repeated_too_often(members: &serde_json::Map<String, Value>) -> Option<&'static str> {
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"].into_iter().find(
        |&keyword| members.get(keyword).and_then(Value::as_u64).is_some_and(|count| count > MOST_REPEATS),
    )
}
