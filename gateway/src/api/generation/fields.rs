//! Checks of single request fields, with OpenAI's ranges, codes and wording.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::error::ApiError;
use crate::error::rescue::shorten;

/// A field has a value that cannot be honoured.
pub(crate) fn invalid(param: &str, problem: impl Display) -> ApiError {
    let message = format!("Invalid '{param}': {problem}");
    ApiError::invalid(shorten(&message)).with_param(param.to_owned()).with_code("invalid_value")
}

/// A field is given that cannot be honoured at all.
pub(crate) fn unsupported(param: &str, advice: impl Display) -> ApiError {
    let message = format!("Unsupported parameter: '{param}' {advice}");
    ApiError::invalid(shorten(&message)).with_param(param.to_owned()).with_code("unsupported_parameter")
}

/// A field has a value that others honour.
pub(crate) fn unsupported_value(param: &str, advice: impl Display) -> ApiError {
    let message = format!("Unsupported value: '{param}' {advice}");
    ApiError::invalid(shorten(&message)).with_param(param.to_owned()).with_code("unsupported_value")
}

/// A field that must be there is not.
pub(crate) fn missing(param: &str) -> ApiError {
    ApiError::invalid(format!("Missing required parameter: '{param}'."))
        .with_param(param.to_owned())
        .with_code("missing_required_parameter")
}

/// Refuses a field that is given.
pub(crate) fn refuse<T>(param: &str, value: Option<&T>, advice: &str) -> Result<(), ApiError> {
    match value {
        Some(_) => Err(unsupported(param, advice)),
        None => Ok(()),
    }
}

/// A whole number within a range, as `u32`.
pub(crate) fn integer(
    param: &str,
    value: Option<i64>,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let (least, most) = (*range.start(), *range.end());
    if value > i64::from(most) {
        let problem =
            format!("integer above maximum value. Expected a value <= {most}, but got {value} instead.");
        return Err(invalid(param, problem).with_code("integer_above_max_value"));
    }
    match u32::try_from(value) {
        Ok(value) if value >= least => Ok(Some(value)),
        _ => {
            let problem =
                format!("integer below minimum value. Expected a value >= {least}, but got {value} instead.");
            Err(invalid(param, problem).with_code("integer_below_min_value"))
        }
    }
}

/// A number within a range, as `f32`.
pub(crate) fn decimal(
    param: &str,
    value: Option<f64>,
    range: RangeInclusive<f64>,
) -> Result<Option<f32>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let (least, most) = (*range.start(), *range.end());
    if value > most {
        let problem =
            format!("decimal above maximum value. Expected a value <= {most}, but got {value} instead.");
        return Err(invalid(param, problem).with_code("decimal_above_max_value"));
    }
    if value < least || value.is_nan() {
        let problem =
            format!("decimal below minimum value. Expected a value >= {least}, but got {value} instead.");
        return Err(invalid(param, problem).with_code("decimal_below_min_value"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the ranges above are far within f32's")]
    Ok(Some(value as f32))
}

/// A list of at most so many entries.
pub(crate) fn at_most(param: &str, length: usize, most: usize) -> Result<(), ApiError> {
    if length <= most {
        return Ok(());
    }
    let problem = format!(
        "array too long. Expected an array with maximum length {most}, but got one with length {length} instead."
    );
    Err(invalid(param, problem).with_code("array_above_max_length"))
}

/// A value of those that can be honoured.
pub(crate) fn only(param: &str, value: Option<&str>, supported: &[&str]) -> Result<(), ApiError> {
    match value {
        Some(value) if !supported.contains(&value) => {
            let advice = format!(
                "does not support '{value}' here. Supported values are: '{}'.",
                supported.join("', '")
            );
            Err(unsupported_value(param, advice))
        }
        _ => Ok(()),
    }
}

/// Whether the oldest turns may be left out.
pub(crate) fn truncation(value: Option<&str>) -> Result<bool, ApiError> {
    only("truncation", value, &["auto", "disabled"])?;
    Ok(value == Some("auto"))
}

/// OpenAI's bounds of `metadata`: pairs, characters of a key, and of a value.
const MAX_METADATA: (usize, usize, usize) = (16, 64, 512);

/// A client's notes.
pub(crate) fn metadata(metadata: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
    let (pairs, key_length, value_length) = MAX_METADATA;
    let Some(metadata) = metadata else { return Ok(()) };
    at_most("metadata", metadata.len(), pairs)?;
    for (key, value) in metadata {
        if key.chars().count() > key_length || value.chars().count() > value_length {
            let problem =
                format!("a key has at most {key_length} and a value at most {value_length} characters.");
            return Err(invalid("metadata", problem).with_code("string_above_max_length"));
        }
    }
    Ok(())
}

/// A name of 1–64 of `a-zA-Z0-9_-`.
pub(crate) fn name(param: &str, name: &str) -> Result<(), ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(invalid(
        param,
        "string does not match pattern. Expected 1 to 64 of the characters a-z, A-Z, 0-9, '_' and '-'.",
    ))
}
