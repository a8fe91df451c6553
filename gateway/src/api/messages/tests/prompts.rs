//! From messages to the engine's chat: who says what, in which order.

use openapi::message::{Content, Message, Part, Role};
use serde_json::{Value, json};

use super::ask;
use crate::api::messages::parse;
use crate::engine::{ChatPrompt, Prompt};

fn chat(fields: Value) -> ChatPrompt {
    let plan = parse(ask(fields).to_string().as_bytes()).expect("a request");
    match plan.request.prompt {
        Prompt::Chat(chat) => chat,
        other => panic!("no chat: {other:?}"),
    }
}

/// The messages as OpenAI writes them.
fn shown(messages: &[Message]) -> Value {
    serde_json::to_value(messages).expect("JSON")
}

#[test]
fn a_round_trip_of_tools_is_a_chat_with_calls_and_results() {
    let chat = chat(json!({
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "two cities", "signature": "s"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "text", "text": "and be quick"},
                {"type": "tool_result", "tool_use_id": "a", "content": "sun"},
                {"type": "tool_result", "tool_use_id": "b", "is_error": true,
                 "content": [{"type": "text", "text": "no such city", "cache_control": {"type": "ephemeral"}}]},
            ]},
        ],
    }));
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let expected = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Let me see.", "reasoning_content": "two cities",
         "tool_calls": [call("a", r#"{"city":"Rome"}"#), call("b", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "sun"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no such city"},
        {"role": "user", "content": "and be quick"},
    ]);
    assert_eq!(shown(&chat.messages), expected);
}

#[test]
fn messages_of_one_speaker_that_follow_each_other_are_one_turn() {
    let chat = chat(json!({"messages": [
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "three"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "a"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "b"}, {"type": "text", "text": "four"}]},
        {"role": "system", "content": "five"},
        {"role": "user", "content": "six"},
    ]}));
    let roles: Vec<Role> = chat.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::System, Role::User]);
    let text = |text: &str| Part::Text { text: text.to_owned() };
    assert_eq!(chat.messages[0].content, Some(Content::Parts(vec![text("one"), text("two"), text("three")])));
    assert_eq!(chat.messages[1].reasoning_content.as_deref(), Some("a\nb"));
}

#[test]
fn results_of_calls_stay_apart() {
    let chat = chat(json!({"messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b", "is_error": true}]},
    ]}));
    let expected = json!([
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "Error"},
    ]);
    assert_eq!(shown(&chat.messages), expected);
}

#[test]
fn an_empty_system_prompt_is_none() {
    for system in [json!(""), json!([]), json!(null), json!([{"type": "text", "text": ""}])] {
        assert_eq!(chat(json!({"system": system})).messages.len(), 1, "{system}");
    }
    let two = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": null}]);
    assert_eq!(chat(json!({"system": two})).messages[0].role, Role::System);
}

#[test]
fn choices_among_tools_have_their_openai_names() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let chosen = |choice: Value| {
        let chat = chat(json!({"tools": tools, "tool_choice": choice}));
        (serde_json::to_value(chat.tool_choice).expect("JSON"), chat.parallel_tool_calls)
    };
    assert_eq!(chosen(json!(null)), (json!("auto"), true));
    assert_eq!(chosen(json!({"type": "auto", "disable_parallel_tool_use": true})), (json!("auto"), false));
    assert_eq!(chosen(json!({"type": "any"})), (json!("required"), true));
    assert_eq!(chosen(json!({"type": "none"})), (json!("none"), true));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(chosen(json!({"type": "tool", "name": "f"})), (named, true));
}
