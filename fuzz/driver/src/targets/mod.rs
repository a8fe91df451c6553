//! The targets. Each returns a mark of what happened, by which the driver tells new behaviour from old.

mod upstream;
mod upstream_http1;

pub use upstream::upstream;
pub use upstream_http1::upstream_http1;

use std::hash::{DefaultHasher, Hash, Hasher};

use gateway::api::{chat, responses};
use gateway::conversation::item;
use gateway::engine::llama::constraint::ConstraintFactory;
use gateway::engine::llama::constraint::rule_for;
use gateway::engine::llama::output::{
    Flow, OutputParser, OutputStyle, ReasoningMarks, ToolFormat, ToolStyle,
};
use gateway::engine::llama::template::ChatTemplate;
use gateway::engine::llama::vocabulary::{TokenEntry, Vocabulary};
use gateway::engine::{ChatPrompt, DeltaPart};
use openapi::message::{JsonSchemaFormat, Message, ResponseFormat, Tool, ToolChoice, ToolMode};
use serde_json::Value;

use crate::pushed;

/// A target: any bytes in, a mark of what happened out.
pub type Target = fn(&[u8]) -> u64;

/// All targets by name.
pub const ALL: [(&str, Target); 10] = [
    ("chat_request", chat_request),
    ("response_request", response_request),
    ("template", template),
    ("schema", schema),
    ("output", output),
    ("snapshot", pushed::snapshot),
    ("records", pushed::records),
    ("traceparent", pushed::traceparent),
    ("upstream", upstream),
    ("upstream_http1", upstream_http1),
];

/// The body of a chat request: it is a plan, or a refusal of the caller and not of us.
///
/// # Panics
/// If a refusal blames us: that is the finding.
pub fn chat_request(bytes: &[u8]) -> u64 {
    match chat::parse(bytes) {
        Ok(plan) => mark(&[u64::from(plan.stream), u64::from(plan.request.choices)]),
        Err(error) => {
            assert!(error.status().is_client_error(), "{error}");
            words(&error.to_string())
        }
    }
}

/// The body of a response request: a plan whose items make messages, or a refusal of the caller and not of us.
///
/// # Panics
/// If a refusal blames us: that is the finding.
pub fn response_request(bytes: &[u8]) -> u64 {
    match responses::parse(bytes) {
        Ok(plan) => {
            let messages = item::messages(&plan.input);
            mark(&[u64::from(plan.stream), plan.input.len() as u64 % 64, messages.len() as u64 % 64])
        }
        Err(error) => {
            assert!(error.status().is_client_error(), "{error}");
            words(&error.to_string())
        }
    }
}

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}\
     <|im_end|>\n{% endfor %}<|im_start|>assistant\n";

/// A chat for a fixed template (JSON), or else a template for a fixed chat (anything that is not JSON).
pub fn template(bytes: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(bytes) else { return 0 };
    let (template, messages) = if let Ok(messages) = serde_json::from_str::<Vec<Message>>(text) {
        (CHATML, messages)
    } else {
        (text, serde_json::from_str(r#"[{"role":"user","content":"hi"}]"#).unwrap_or_default())
    };
    let rendered = ChatTemplate::compile(template, "<s>", "</s>")
        .and_then(|template| template.render(&prompt(messages, vec![])));
    match rendered {
        Ok(rendered) => mark(&[
            rendered.pieces().map(str::len).sum::<usize>() as u64 % 64,
            u64::from(rendered.style.tools.is_some()),
        ]),
        Err(error) => words(&error.to_string()),
    }
}

/// A JSON schema, for an answer and for the arguments of a strict tool; what compiles must also begin to be followed.
pub fn schema(bytes: &[u8]) -> u64 {
    let Ok(schema) = serde_json::from_slice::<Value>(bytes) else { return 0 };
    let vocabulary = byte_vocabulary();
    let Ok(factory) = ConstraintFactory::new(&vocabulary) else { return 1 };
    let format = ResponseFormat::JsonSchema {
        json_schema: JsonSchemaFormat {
            name: "fuzzed".to_owned(),
            description: None,
            schema: Some(schema.clone()),
            strict: Some(true),
        },
    };
    let plain = prompt(Vec::new(), Vec::new());
    let answer = follow(&factory, &OutputStyle::default(), &plain, &format);
    let mut caller = prompt(Vec::new(), vec![tool(schema)]);
    caller.tool_choice = ToolChoice::Mode(ToolMode::Required);
    let call = follow(&factory, &hermes(), &caller, &ResponseFormat::Text);
    mark(&[answer, call])
}

fn follow(
    factory: &ConstraintFactory,
    style: &OutputStyle,
    chat: &ChatPrompt,
    format: &ResponseFormat,
) -> u64 {
    let rule = match rule_for(style, chat, format) {
        Ok(rule) => rule,
        Err(error) => return words(&error.to_string()),
    };
    let mut constraint = match factory.compile(&rule) {
        Ok(Some(constraint)) => constraint,
        Ok(None) => return 2,
        Err(error) => return words(&error.to_string()),
    };
    for token in b"{\"a\":1}" {
        if constraint.mask().is_err() || constraint.accept(u32::from(*token)).is_err() {
            return 3;
        }
    }
    u64::from(constraint.is_complete()) + 4
}

/// Output of a model, after two bytes that choose a style and how it is cut: the cut may change nothing.
///
/// # Panics
/// If it does: that is the finding.
pub fn output(bytes: &[u8]) -> u64 {
    let [choice, cut, rest @ ..] = bytes else { return 0 };
    let style = style(*choice);
    let stop = if choice & 0x80 == 0 { Vec::new() } else { vec!["stop".to_owned(), "}}".to_owned()] };
    let whole = read(&style, &stop, std::iter::once(rest));
    let cut = read(&style, &stop, rest.chunks(usize::from(cut % 7) + 1));
    assert_eq!(whole, cut, "the same bytes cut otherwise mean something else");
    let content = u64::from(!whole.0.is_empty());
    mark(&[content, u64::from(!whole.1.is_empty()), whole.2.len() as u64])
}

/// Content, reasoning, and calls as name and arguments: what the parts add up to.
type Meaning = (String, String, Vec<(String, String)>);

fn read<'a>(style: &OutputStyle, stop: &[String], pieces: impl Iterator<Item = &'a [u8]>) -> Meaning {
    let mut parser = OutputParser::new(style, stop);
    let mut parts = Vec::new();
    for piece in pieces {
        if parser.push(piece, &mut parts) == Flow::Stopped {
            break;
        }
    }
    parser.finish(&mut parts);
    let (mut content, mut reasoning, mut calls): Meaning = Meaning::default();
    for part in parts {
        match part {
            DeltaPart::Content(text) => content.push_str(&text),
            DeltaPart::Reasoning(text) => reasoning.push_str(&text),
            DeltaPart::ToolCall { name, .. } => calls.push((name, String::new())),
            DeltaPart::ToolArguments { index, arguments } => {
                if let Some(call) = calls.get_mut(index as usize) {
                    call.1.push_str(&arguments);
                }
            }
        }
    }
    (content, reasoning, calls)
}

fn style(choice: u8) -> OutputStyle {
    let format = match choice & 0x07 {
        1 => Some(ToolFormat::Hermes),
        2 => Some(ToolFormat::Llama),
        3 => Some(ToolFormat::MistralList),
        4 => Some(ToolFormat::MistralNamed),
        _ => None,
    };
    let names = ["get_weather".to_owned(), "add".to_owned()].into();
    let tools = format.map(|format| ToolStyle { format, names, parallel: choice & 0x08 != 0 });
    let marks = ReasoningMarks { open: "<think>".to_owned(), close: "</think>".to_owned() };
    let reasoning = (choice & 0x10 != 0).then_some(marks);
    let begins_in_reasoning = reasoning.is_some() && choice & 0x20 != 0;
    OutputStyle { tools, reasoning, begins_in_reasoning }
}

fn hermes() -> OutputStyle {
    let names = ["fuzzed".to_owned()].into();
    let tools = Some(ToolStyle { format: ToolFormat::Hermes, names, parallel: false });
    OutputStyle { tools, ..OutputStyle::default() }
}

fn prompt(messages: Vec<Message>, tools: Vec<Tool>) -> ChatPrompt {
    ChatPrompt { messages, tools, tool_choice: ToolChoice::Mode(ToolMode::Auto), parallel_tool_calls: false }
}

fn tool(parameters: Value) -> Tool {
    Tool {
        kind: "function".to_owned(),
        function: openapi::message::FunctionDefinition {
            name: "fuzzed".to_owned(),
            description: None,
            parameters: Some(parameters),
            strict: Some(true),
        },
    }
}

/// A token for each byte and one that ends.
fn byte_vocabulary() -> Vocabulary {
    let bytes =
        (0..=255_u8).map(|byte| TokenEntry { bytes: vec![byte], special: false, end_of_generation: false });
    let end = TokenEntry { bytes: b"</s>".to_vec(), special: true, end_of_generation: true };
    Vocabulary::new(bytes.chain([end]), None, Some(256))
}

pub(crate) fn mark(values: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.hash(&mut hasher);
    hasher.finish()
}

/// A message without what the input put into it, as far as that is known: digits and quoted text.
pub(crate) fn words(message: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (place, piece) in message.split(['"', '`', '\'']).enumerate() {
        if place % 2 == 0 {
            piece
                .chars()
                .filter(|letter| !letter.is_ascii_digit())
                .for_each(|letter| letter.hash(&mut hasher));
        }
    }
    hasher.finish()
}
