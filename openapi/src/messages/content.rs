//! What is said in a Messages request: a system prompt, and messages of text, thinking, calls and their results.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputRole {
    /// The person or program that asks, and what tools gave.
    User,
    /// The model.
    Assistant,
    /// Instructions between messages.
    System,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputMessage {
    /// Who speaks.
    pub role: InputRole,
    /// What is said.
    pub content: InputContent,
}

/// A string, which is one block of text, or blocks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum InputContent {
    /// Text.
    Text(String),
    /// Blocks.
    Blocks(Vec<InputBlock>),
}

/// One block of a message. Kinds that are not named here are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputBlock {
    /// Text.
    Text(TextBlock),
    /// What the model thought before it answered: shown to models whose template wants it back.
    Thinking {
        /// The text.
        thinking: String,
        /// Accepted, without effect: nothing here is taken on trust because of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// A call that the model made.
    ToolUse {
        /// The name by which its result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// The arguments.
        input: Map<String, Value>,
        /// Accepted, without effect: what is the same in two prompts is computed once in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    /// What a call gave.
    ToolResult {
        /// The call's `id`.
        tool_use_id: String,
        /// Its result; absent is empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<ResultContent>,
        /// The call failed: its result is shown to the model as an error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is_error: Option<bool>,
        /// Accepted, without effect: what is the same in two prompts is computed once in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
    /// Refused: the models served here read text only.
    Image {},
    /// Refused: the models served here read text only.
    Document {},
    /// Refused: there is no search here.
    SearchResult {},
    /// Refused: what another server has sealed cannot be read here.
    RedactedThinking {},
    /// Refused: there are no tools here that the server runs.
    ServerToolUse {},
    /// Refused: there are no tools here that the server runs.
    WebSearchToolResult {},
    /// Refused: there are no tools here that the server runs.
    WebFetchToolResult {},
    /// Refused: there are no tools here that the server runs.
    CodeExecutionToolResult {},
    /// Refused: there are no tools here that the server runs.
    McpToolUse {},
    /// Refused: there are no tools here that the server runs.
    McpToolResult {},
    /// Refused: there are no containers here.
    ContainerUpload {},
}

/// Text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TextBlock {
    /// The text.
    pub text: String,
    /// Accepted, without effect: what is the same in two prompts is computed once in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Value>,
}

/// What a call gave: a string, or blocks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ResultContent {
    /// Text.
    Text(String),
    /// Blocks, all of them text.
    Blocks(Vec<ResultBlock>),
}

/// One block of what a call gave. Kinds that are not named here are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResultBlock {
    /// Text.
    Text(TextBlock),
    /// Refused: the models served here read text only.
    Image {},
    /// Refused: the models served here read text only.
    Document {},
    /// Refused: there is no search here.
    SearchResult {},
    /// Refused: all tools are shown to the model at once.
    ToolReference {},
}

/// What is said above all: a string, or blocks of text.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SystemPrompt {
    /// Text.
    Text(String),
    /// Blocks.
    Blocks(Vec<SystemBlock>),
}

/// One block of the system prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SystemBlock {
    /// Text.
    Text(TextBlock),
}

/// Something that is a string or a list. An error in the list says where in it, which serde's untagged enums do not.
trait TextOrBlocks {
    type Block;

    fn text(text: String) -> Self;

    fn blocks(blocks: Vec<Self::Block>) -> Self;
}

struct TextOrBlocksVisitor<T>(PhantomData<fn() -> T>);

impl<'de, T: TextOrBlocks<Block: Deserialize<'de>>> Visitor<'de> for TextOrBlocksVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of content blocks")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<T, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(blocks)).map(T::blocks)
    }
}

macro_rules! text_or_blocks {
    ($($content:ident of $block:ident;)*) => {
        $(
            impl TextOrBlocks for $content {
                type Block = $block;

                fn text(text: String) -> Self {
                    Self::Text(text)
                }

                fn blocks(blocks: Vec<$block>) -> Self {
                    Self::Blocks(blocks)
                }
            }

            impl<'de> Deserialize<'de> for $content {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_any(TextOrBlocksVisitor(PhantomData))
                }
            }
        )*
    };
}

text_or_blocks! {
    InputContent of InputBlock;
    ResultContent of ResultBlock;
    SystemPrompt of SystemBlock;
}
