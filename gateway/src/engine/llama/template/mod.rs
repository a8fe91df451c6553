//! A model's chat template: messages and tools to prompt text, and what the answer will look like.

mod clock;
mod python;
mod turns;
mod untrusted;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, Value};
use openapi::message::{ToolChoice, ToolMode};
use serde::Serialize;

use super::output::{OutputStyle, ReasoningMarks, ToolFormat, ToolStyle};
use crate::clock::Clock as WallClock;
use crate::engine::{ChatPrompt, EngineError};
pub use python::Clock;
use python::Raised;
use turns::{Reads, ToolView, Turn, turn, turns};
pub use untrusted::ControlSpellings;

/// For models that come without a template.
const CHATML: &str = "{% for message in messages %}\
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const NAME: &str = "chat";

/// A template with variables that outlive a loop can nest values as deep as its fuel lasts, and a value is written
/// and dropped by recursion: such a template renders on a stack of its own, of which only what is used is real.
const DEEP_STACK: usize = 512 * 1024 * 1024;
/// Without them, nesting needs a statement a level.
const FEW_STATEMENTS: usize = 200;

/// A template, compiled once a model.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    reads: Reads,
    reasoning: Option<ReasoningMarks>,
    thinking: Option<bool>,
    controls: ControlSpellings,
    /// Cannot nest values deeply, so that any stack will do.
    simple: bool,
}

/// A rendered prompt, and how to read the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt, special tokens in their written form, with a seam in each that the caller wrote.
    text: String,
    /// What the answer looks like.
    pub style: OutputStyle,
}

impl Rendered {
    /// The prompt in the pieces that are tokenized each for itself, so that only the template's own control tokens
    /// are read as such. Together they are the prompt's text.
    pub fn pieces(&self) -> impl Iterator<Item = &str> + Clone {
        untrusted::pieces(&self.text)
    }
}

/// Why a template cannot be used, or a chat not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is not Jinja.
    #[error("the chat template does not compile: {0}")]
    Compile(String),
    /// The template refuses the conversation, in its own words.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// The template failed, or took too many steps.
    #[error("the model's chat template cannot render these messages: {0}")]
    Render(String),
    /// A message holds more than text.
    #[error("messages[{index}] has a part of type {kind}, but this model reads text only")]
    NotText {
        /// Which message.
        index: usize,
        /// The part's type.
        kind: &'static str,
    },
}

impl TemplateError {
    fn not_text(index: usize, kind: &'static str) -> Self {
        Self::NotText { index, kind }
    }

    fn of(error: &minijinja::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(raised) = error.downcast_ref::<Raised>() {
                return Self::Refused(raised.0.clone());
            }
            cause = error.source();
        }
        Self::Render(error.to_string())
    }
}

impl From<TemplateError> for EngineError {
    fn from(error: TemplateError) -> Self {
        Self::Invalid { message: error.to_string(), param: Some("messages") }
    }
}

#[derive(Serialize)]
struct Context<'a> {
    messages: &'a [Turn],
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a [ToolView]>,
    add_generation_prompt: bool,
    bos_token: &'a str,
    eos_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
}

impl ChatTemplate {
    /// Compiles a template and finds out what it can read. `bos` and `eos` are the written forms of the model's
    /// tokens for begin and end of text.
    pub fn compile(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        // The one look at the clock is behind a function, so that tests give their own.
        Self::with_clock(source, bos, eos, || WallClock::System.now_s())
    }

    /// The template for models that come without one.
    pub fn chatml(bos: &str, eos: &str) -> Result<Self, TemplateError> {
        Self::compile(CHATML, bos, eos)
    }

    /// As [`ChatTemplate::compile`], with the clock that `strftime_now` reads.
    pub fn with_clock(source: &str, bos: &str, eos: &str, clock: Clock) -> Result<Self, TemplateError> {
        let compile = |error: minijinja::Error| TemplateError::Compile(error.to_string());
        let mut environment = python::environment(clock).map_err(compile)?;
        environment.add_template_owned(NAME, python::without_training_blocks(source)).map_err(compile)?;
        let reads =
            Reads { parts: false, system: true, developer: source.contains("developer"), tools: None };
        let mut template = Self {
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            reads,
            reasoning: reasoning_marks(source),
            thinking: None,
            controls: ControlSpellings::default(),
            simple: !source.contains("namespace") && source.matches("set ").count() < FEW_STATEMENTS,
        };
        template.probe(source);
        Ok(template)
    }

    /// Sets `enable_thinking` for templates that ask for it; unset, each has its own default.
    #[must_use]
    pub fn thinking(mut self, thinking: Option<bool>) -> Self {
        self.thinking = thinking;
        self
    }

    /// Sets the spellings that no text of a caller may pass to the tokenizer.
    #[must_use]
    pub fn controls(mut self, controls: ControlSpellings) -> Self {
        self.controls = controls;
        self
    }

    /// Renders a chat up to where the answer begins.
    pub fn render(&self, chat: &ChatPrompt) -> Result<Rendered, TemplateError> {
        let may_call = chat.tool_choice != ToolChoice::Mode(ToolMode::None);
        let tools: Vec<ToolView> = if may_call {
            chat.tools.iter().map(|tool| ToolView::new(tool, &self.controls)).collect()
        } else {
            Vec::new()
        };
        let messages = turns(&chat.messages, &tools, self.reads, &self.controls)?;
        let told = Some(tools.as_slice()).filter(|tools| !tools.is_empty() && self.reads.tools.is_some());
        let text = self.run(&messages, told).map_err(|error| TemplateError::of(&error))?;
        let names: Arc<[String]> = chat.tools.iter().map(|tool| tool.function.name.clone()).collect();
        let format = self.reads.tools.unwrap_or(ToolFormat::Hermes);
        let tools =
            (!tools.is_empty()).then_some(ToolStyle { format, names, parallel: chat.parallel_tool_calls });
        let begins_in_reasoning =
            self.reasoning.as_ref().is_some_and(|marks| text.trim_end().ends_with(marks.open.as_str()));
        let style = OutputStyle { tools, reasoning: self.reasoning.clone(), begins_in_reasoning };
        Ok(Rendered { text, style })
    }

    fn run(&self, messages: &[Turn], tools: Option<&[ToolView]>) -> Result<String, minijinja::Error> {
        let context = Context {
            messages,
            tools,
            add_generation_prompt: true,
            bos_token: &self.bos,
            eos_token: &self.eos,
            enable_thinking: self.thinking,
        };
        let render = || self.environment.get_template(NAME)?.render(Value::from(Serde(&context)));
        if self.simple {
            return render();
        }
        let failed = || minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "the template failed");
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(DEEP_STACK);
            let joined = thread.spawn_scoped(scope, render).map(std::thread::ScopedJoinHandle::join);
            joined.map_err(|_| failed())?.map_err(|_| failed())?
        })
    }

    /// Renders small chats and looks at what of them arrives. Reading the source would only guess.
    fn probe(&mut self, source: &str) {
        let said =
            |text: Result<String, minijinja::Error>, probe: &str| text.is_ok_and(|text| text.contains(probe));
        let user = || turn("user", "probe-user");
        if !said(self.run(&[user()], None), "probe-user") {
            let parts = Reads { parts: true, ..self.reads };
            let as_parts = turns(&[text_message("probe-user")], &[], parts, &self.controls);
            self.reads.parts = as_parts.is_ok_and(|turns| said(self.run(&turns, None), "probe-user"));
        }
        self.reads.system = self.reads.parts
            || said(self.run(&[turn("system", "probe-system"), user()], None), "probe-system");
        let tool = probe_tool();
        let tools = [ToolView::new(&tool, &self.controls)];
        if said(self.run(&[user()], Some(&tools)), "probe_tool") {
            // Tools told in a way whose calls could not be read back are told Hermes' way instead.
            self.reads.tools = tool_format(source);
        }
    }
}

fn text_message(text: &str) -> openapi::message::Message {
    openapi::message::Message {
        role: openapi::message::Role::User,
        content: Some(openapi::message::Content::Text(text.to_owned())),
        name: None,
        tool_calls: None,
        tool_call_id: None,
        refusal: None,
        reasoning_content: None,
    }
}

fn probe_tool() -> openapi::message::Tool {
    openapi::message::Tool {
        kind: "function".to_owned(),
        function: openapi::message::FunctionDefinition {
            name: "probe_tool".to_owned(),
            description: None,
            parameters: None,
            strict: None,
        },
    }
}

/// The marks with which a template teaches calls.
fn tool_format(source: &str) -> Option<ToolFormat> {
    if source.contains("<tool_call>") && !source.contains("<function=") {
        Some(ToolFormat::Hermes)
    } else if source.contains("[TOOL_CALLS]") {
        Some(if source.contains("[ARGS]") { ToolFormat::MistralNamed } else { ToolFormat::MistralList })
    } else if source.contains("<|python_tag|>") || source.contains("\"parameters\":") {
        Some(ToolFormat::Llama)
    } else {
        None
    }
}

fn reasoning_marks(source: &str) -> Option<ReasoningMarks> {
    [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>")]
        .into_iter()
        .find(|(_, close)| source.contains(close))
        .map(|(open, close)| ReasoningMarks { open: open.to_owned(), close: close.to_owned() })
}
