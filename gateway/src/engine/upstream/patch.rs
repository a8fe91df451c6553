//! A client's own body made fit for a server: its name of the model, and the usage asked for. The rest stays byte by byte.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The fields that are looked at, where they stand in the body.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "even_null")]
    stream_options: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    include_usage: Option<&'a RawValue>,
}

/// A `null` stands somewhere too.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What is put in the place of a part of the body.
struct Edit {
    place: Range<usize>,
    text: String,
}

/// The body with the server's name of the model; of a stream, with the usage asked for. `None` for a body that cannot be
/// changed in its places, such as one that has a field twice.
pub(super) fn patch(body: &Bytes, model: &str, with_usage: bool) -> Option<Bytes> {
    let text = std::str::from_utf8(body).ok()?;
    let fields: Fields<'_> = serde_json::from_str(text).ok()?;
    let mut edits = Vec::new();
    let name = serde_json::to_string(model).ok()?;
    if fields.model.get() != name {
        edits.push(Edit { place: place_of(text, fields.model.get())?, text: name });
    }
    if with_usage {
        edits.extend(usage_edit(text, fields.stream_options)?);
    }
    if edits.is_empty() {
        return Some(body.clone());
    }
    edits.sort_by_key(|edit| edit.place.start);
    let more: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut patched = BytesMut::with_capacity(body.len() + more);
    let mut from = 0;
    for edit in edits {
        patched.extend_from_slice(body.get(from..edit.place.start)?);
        patched.extend_from_slice(edit.text.as_bytes());
        from = edit.place.end;
    }
    patched.extend_from_slice(body.get(from..)?);
    Some(patched.freeze())
}

/// How the usage comes to be asked for, if it is not; `None` where the options are none.
fn usage_edit(text: &str, options: Option<&RawValue>) -> Option<Vec<Edit>> {
    const ASKED: &str = r#""include_usage":true"#;
    let edit = |place, text| Some(vec![Edit { place, text }]);
    let Some(options) = options.map(RawValue::get) else {
        // There is a field behind it: the model.
        let start = text.find('{')? + 1;
        return edit(start..start, format!(r#""stream_options":{{{ASKED}}},"#));
    };
    let place = place_of(text, options)?;
    if options == "null" {
        return edit(place, format!("{{{ASKED}}}"));
    }
    let inside = options.strip_prefix('{')?;
    let known: Options<'_> = serde_json::from_str(options).ok()?;
    match known.include_usage.map(RawValue::get) {
        Some("true") => Some(Vec::new()),
        Some(other) => edit(place_of(text, other)?, "true".to_owned()),
        None => {
            let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
            let start = place.start + 1;
            edit(start..start, format!("{ASKED}{comma}"))
        }
    }
}

/// Where a part of the text stands in it.
fn place_of(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let place = start..start.checked_add(part.len())?;
    text.get(place.clone()).is_some_and(|there| there == part).then_some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn patched(body: &str, model: &str, with_usage: bool) -> Option<String> {
        let bytes = patch(&Bytes::copy_from_slice(body.as_bytes()), model, with_usage)?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn only_the_model_and_the_usage_are_changed() {
        for (body, expected) in [
            (
                r#"{"model":"a", "x" : 1.50}"#,
                r#"{"stream_options":{"include_usage":true},"model":"b", "x" : 1.50}"#,
            ),
            (
                " { \"stream_options\":{ } ,\"model\":\"a\"}\n",
                " { \"stream_options\":{\"include_usage\":true } ,\"model\":\"b\"}\n",
            ),
            (
                r#"{"model":"a","stream_options":{"include_obfuscation":false}}"#,
                r#"{"model":"b","stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"model":"a"}"#,
                r#"{"stream_options":{"include_usage":true},"model":"b"}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":null},"model":"a"}"#,
                r#"{"stream_options":{"include_usage":true},"model":"b"}"#,
            ),
            (
                r#"{"stream_options":null,"model":"a"}"#,
                r#"{"stream_options":{"include_usage":true},"model":"b"}"#,
            ),
            (
                r#"{"messages":["\"model\":\"a\""],"model":"\u0061","stream_options":{"include_usage":true}}"#,
                r#"{"messages":["\"model\":\"a\""],"model":"b","stream_options":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(patched(body, "b", true).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_needs_no_change_is_the_same_bytes() {
        let body = Bytes::from_static(br#"{"model":"a"}"#);
        let same = patch(&body, "a", false).unwrap();
        assert_eq!(same.as_ptr(), body.as_ptr());
    }

    #[test]
    fn what_cannot_be_changed_in_its_place_is_not_changed() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","stream_options":3}"#,
            "{\"model\":",
        ] {
            assert_eq!(patched(body, "b", true), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_patched_body_says_the_same_but_for_two_fields(
            user in any::<String>(),
            model in any::<String>(),
            name in any::<String>(),
            options in prop::sample::select(vec![json!(null), json!({}), json!({"include_usage": false}), json!({"x": [1]})]),
            with_options in any::<bool>(),
        ) {
            let mut body = json!({"user": user, "model": model, "seed": 1});
            if with_options {
                body["stream_options"] = options.clone();
            }
            let changed = patched(&body.to_string(), &name, true).unwrap();
            let mut expected = body;
            expected["model"] = json!(name);
            let mut wanted = if with_options && options.is_object() { options } else { json!({}) };
            wanted["include_usage"] = json!(true);
            expected["stream_options"] = wanted;
            prop_assert_eq!(serde_json::from_str::<Value>(&changed).unwrap(), expected);
        }
    }
}
