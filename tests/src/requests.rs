//! Requests that several tests send.

use serde_json::{Value, json};

use crate::model::{END_OF_TEXT, END_OF_TURN};

/// The least a chat request needs, made short and greedy.
pub fn ask(model: &str, text: &str) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 16,
    })
}

/// A request whose answer does not end before `max_tokens`, because the model may not say that it is done.
pub fn endless(model: &str, text: &str, max_tokens: u32) -> Value {
    let mut request = ask(model, text);
    request["max_tokens"] = max_tokens.into();
    request["logit_bias"] = json!({END_OF_TURN.to_string(): -100, END_OF_TEXT.to_string(): -100});
    request
}

/// A text of about this many tokens, and of no fewer than nine tenths of them.
pub fn long_text(tokens: usize) -> String {
    // The default model has a token for each digit and one for the space before a number.
    let numbers: Vec<String> = (0..tokens / 4).map(|number| (100 + number % 900).to_string()).collect();
    numbers.join(" ")
}

/// A tool named `get_weather` with a strict schema, whose arguments have an end: a small model that draws
/// from a string without one may write until its tokens are spent.
pub fn weather_tool() -> Value {
    json!({
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "strict": true,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "maxLength": 40},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["city", "unit"],
                "additionalProperties": false,
            },
        },
    })
}

/// A tool named `add` with a strict schema, whose arguments have an end too.
pub fn add_tool() -> Value {
    json!({
        "type": "function",
        "function": {
            "name": "add",
            "description": "The sum of two whole numbers",
            "strict": true,
            "parameters": {
                "type": "object",
                "properties": {
                    "left": {"type": "integer", "minimum": -999, "maximum": 999},
                    "right": {"type": "integer", "minimum": -999, "maximum": 999},
                },
                "required": ["left", "right"],
                "additionalProperties": false,
            },
        },
    })
}

/// Panics unless the text is JSON that validates.
pub fn assert_validates(schema: &Value, text: &str) {
    let instance: Value = serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("{error} in {text:?}, which should be JSON"));
    let validator = jsonschema::validator_for(schema).expect("the test's schema is a schema");
    let problems: Vec<String> = validator.iter_errors(&instance).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{text} does not validate: {problems:?}");
}
