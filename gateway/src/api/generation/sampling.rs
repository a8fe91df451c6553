//! How tokens are drawn: the fields that all generating requests have in common, checked.

use openapi::chat::{ChatRequest, NumberMap, Stop, StreamOptions};
use openapi::completions::CompletionRequest;
use openapi::messages::MessagesRequest;
use openapi::responses::ResponseRequest;

use super::fields::{at_most, decimal, integer, invalid, unsupported_value};
use crate::engine::Sampling;
use crate::error::ApiError;

/// The most answers one request may ask for, all prompts together.
pub(crate) const MAX_CHOICES: u32 = 128;
/// OpenAI's bound on stop strings.
const MAX_STOPS: usize = 4;
/// Each bias costs a little at every token.
const MAX_BIASES: usize = 1024;

/// The sampling fields of a request, unchecked.
pub(crate) struct SamplingFields<'a> {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    repeat_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    logit_bias: Option<&'a NumberMap>,
    seed: Option<i64>,
}

/// All requests have these fields under the same names; a macro so that none is forgotten for one of them.
macro_rules! sampling_fields_of {
    ($request:ty) => {
        impl<'a> From<&'a $request> for SamplingFields<'a> {
            fn from(request: &'a $request) -> Self {
                Self {
                    temperature: request.temperature,
                    top_p: request.top_p,
                    top_k: request.top_k,
                    min_p: request.min_p,
                    repeat_penalty: request.repeat_penalty,
                    frequency_penalty: request.frequency_penalty,
                    presence_penalty: request.presence_penalty,
                    logit_bias: request.logit_bias.as_ref(),
                    seed: request.seed,
                }
            }
        }
    };
}

sampling_fields_of!(ChatRequest);
sampling_fields_of!(CompletionRequest);
sampling_fields_of!(ResponseRequest);

/// Anthropic has fewer of them.
impl<'a> From<&'a MessagesRequest> for SamplingFields<'a> {
    fn from(request: &'a MessagesRequest) -> Self {
        Self {
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            min_p: None,
            repeat_penalty: None,
            frequency_penalty: None,
            presence_penalty: None,
            logit_bias: None,
            seed: None,
        }
    }
}

impl SamplingFields<'_> {
    /// The checked parameters, OpenAI's defaults where absent.
    pub(crate) fn check(&self) -> Result<Sampling, ApiError> {
        let default = Sampling::default();
        let penalty = |param, value| decimal(param, value, -2.0..=2.0);
        Ok(Sampling {
            temperature: decimal("temperature", self.temperature, 0.0..=2.0)?.unwrap_or(default.temperature),
            top_p: top_p(self.top_p)?.unwrap_or(default.top_p),
            top_k: integer("top_k", self.top_k, 0..=u32::MAX)?.unwrap_or(default.top_k),
            min_p: decimal("min_p", self.min_p, 0.0..=1.0)?.unwrap_or(default.min_p),
            repeat_penalty: decimal("repeat_penalty", self.repeat_penalty, 0.01..=100.0)?
                .unwrap_or(default.repeat_penalty),
            frequency_penalty: penalty("frequency_penalty", self.frequency_penalty)?.unwrap_or_default(),
            presence_penalty: penalty("presence_penalty", self.presence_penalty)?.unwrap_or_default(),
            logit_bias: self.logit_bias.map(logit_bias).transpose()?.unwrap_or_default(),
            seed: self.seed.map(i64::cast_unsigned),
        })
    }
}

/// Above 0: no token is in a nucleus of no mass.
fn top_p(value: Option<f64>) -> Result<Option<f32>, ApiError> {
    let checked = decimal("top_p", value, 0.0..=1.0)?;
    if checked.is_some_and(|value| value <= 0.0) {
        let problem = "decimal below minimum value. Expected a value > 0, but got 0 instead.";
        return Err(invalid("top_p", problem).with_code("decimal_below_min_value"));
    }
    Ok(checked)
}

fn logit_bias(biases: &NumberMap) -> Result<Vec<(u32, f32)>, ApiError> {
    at_most("logit_bias", biases.len(), MAX_BIASES)?;
    let mut checked = Vec::with_capacity(biases.len());
    for (key, value) in biases {
        let Ok(token) = key.parse::<u32>() else {
            return Err(invalid("logit_bias", format!("'{key}' is not a token id.")));
        };
        let bias = decimal("logit_bias", Some(*value), -100.0..=100.0)?.unwrap_or_default();
        checked.push((token, bias));
    }
    Ok(checked)
}

/// The strings that end an answer.
pub(crate) fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(one)) => vec![one],
        Some(Stop::Many(many)) => many,
    };
    at_most("stop", stops.len(), MAX_STOPS)?;
    if stops.iter().any(String::is_empty) {
        return Err(invalid("stop", "a stop string must not be empty.").with_code("empty_string"));
    }
    Ok(stops)
}

/// How many answers to each prompt.
pub(crate) fn choices(n: Option<i64>) -> Result<u32, ApiError> {
    Ok(integer("n", n, 1..=MAX_CHOICES)?.unwrap_or(1))
}

/// The stream's options. Returns whether the usage is to be sent.
pub(crate) fn stream_options(stream: Option<bool>, options: Option<StreamOptions>) -> Result<bool, ApiError> {
    let Some(options) = options else { return Ok(false) };
    if stream != Some(true) {
        return Err(invalid("stream_options", "it is only allowed when 'stream' is enabled."));
    }
    if options.include_obfuscation == Some(true) {
        let advice = "is not supported: leave it out, or send false.";
        return Err(unsupported_value("stream_options.include_obfuscation", advice));
    }
    Ok(options.include_usage == Some(true))
}
