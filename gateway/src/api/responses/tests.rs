//! Responses and conversations over a scripted engine: what is answered, what is kept, what is refused.

use openapi::message::{Content, Role};
use poem::http::Method;
use serde_json::{Value, json};

use super::parse;
use crate::api::harness::{Surface, chat, read, with};
use crate::engine::scripted::{Gate, Script};
use crate::engine::{EngineError, FinishReason, Prompt};

const PATH: &str = "/v1/responses";

fn ask(fields: Value) -> Value {
    with(json!({"model": "m", "input": "hi"}), fields)
}

#[track_caller]
fn refused(param: &str, fields: Value) {
    let shown = fields.to_string();
    let error = parse(ask(fields).to_string().as_bytes()).expect_err(&format!("{shown} is accepted"));
    assert_eq!(error.status().as_u16(), 400);
    assert_eq!(error.envelope().error.param.as_deref(), Some(param), "{shown}: {error}");
}

/// The roles and texts that the engine was given with its last request.
fn said(surface: &Surface) -> Vec<(Role, String)> {
    let requests = surface.engine.requests();
    let Some(Prompt::Chat(chat)) = requests.last().map(|request| &request.prompt) else {
        panic!("no chat was asked for")
    };
    let text = |content: &Option<Content>| match content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(_)) => "(parts)".to_owned(),
        None => String::new(),
    };
    chat.messages.iter().map(|message| (message.role, text(&message.content))).collect()
}

fn user(text: &str) -> (Role, String) {
    (Role::User, text.to_owned())
}

fn assistant(text: &str) -> (Role, String) {
    (Role::Assistant, text.to_owned())
}

/// The events of a stream, each with its name checked against its data and its number against its place.
async fn events(surface: &Surface, path: &str, body: Option<Value>) -> Vec<Value> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let response = surface.send(method, path, body).await;
    assert_eq!(response.status().as_u16(), 200);
    let body = response.into_body().into_string().await.unwrap();
    let frames = body.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'));
    frames
        .map(|frame| {
            let (name, data) = frame.split_once('\n').expect("two lines");
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    refused("input", json!({"input": null}));
    refused("input", json!({"input": []}));
    refused("input[0].type", json!({"input": [{"type": "web_search_call"}]}));
    refused("input[0].type", json!({"input": [{"type": "item_reference", "id": "msg_1"}]}));
    refused(
        "input[1].role",
        json!({"input": [{"role": "user", "content": "a"}, {"role": "tool", "content": "a"}]}),
    );
    refused(
        "input[0].content[0].type",
        json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}),
    );
    refused("tools[0].type", json!({"tools": [{"type": "web_search"}]}));
    refused("tools[0].name", json!({"tools": [{"type": "function", "name": "a b"}]}));
    refused("tool_choice", json!({"tool_choice": "required"}));
    refused("tool_choice.type", json!({"tool_choice": {"type": "file_search"}}));
    refused("previous_response_id", json!({"conversation": "conv_1", "previous_response_id": "resp_1"}));
    refused("previous_response_id", json!({"previous_response_id": "../secret"}));
    refused("conversation", json!({"conversation": ""}));
    refused("truncation", json!({"truncation": "middle"}));
    refused("include[0]", json!({"include": ["file_search_call.results"]}));
    refused("top_logprobs", json!({"top_logprobs": 3}));
    refused("reasoning", json!({"reasoning": {"effort": "high"}}));
    refused("prompt", json!({"prompt": {"id": "pmpt_1"}}));
    refused("text.format.schema", json!({"text": {"format": {"type": "json_schema", "name": "a"}}}));
    refused("text.verbosity", json!({"text": {"verbosity": "low"}}));
    refused("background", json!({"background": true, "store": false}));
    refused("max_output_tokens", json!({"max_output_tokens": 0}));
}

#[tokio::test]
async fn a_response_has_its_text_and_usage_and_what_was_asked() {
    let surface = Surface::playing(Script::text(["Hel", "lo"]).usage(2, std::time::Duration::ZERO));
    let body = ask(json!({"instructions": "be brief", "metadata": {"a": "b"}, "max_output_tokens": 9}));
    let response = surface.json(PATH, body).await;
    assert!(response["id"].as_str().unwrap().starts_with("resp_"));
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(response["output"][0]["status"], "completed");
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], 2);
    assert_eq!((&response["instructions"], &response["metadata"]["a"]), (&json!("be brief"), &json!("b")));
    assert_eq!(said(&surface), [(Role::System, "be brief".to_owned()), user("hi")]);
    let kept = surface.get(&format!("{PATH}/{}", response["id"].as_str().unwrap())).await;
    assert_eq!(kept, response);
}

#[tokio::test]
async fn events_come_in_the_published_order_and_end_as_the_response_is_kept() {
    let script = Script::new().think("hm").say("Hel").say("lo").call("call_1", "f", ["{\"a\":", "1}"]);
    let surface = Surface::playing(script);
    let events = events(&surface, PATH, Some(ask(json!({"stream": true})))).await;
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], place);
    }
    assert_eq!(events[2]["item"]["content"], json!([]), "an item begins empty");
    assert_eq!(events[14]["item"]["content"][0]["text"], "Hello");
    assert_eq!(events[18]["arguments"], "{\"a\":1}");
    let response = &events[20]["response"];
    let done: Vec<&Value> = [7, 14, 19].iter().map(|place| &events[*place]["item"]).collect();
    assert_eq!(response["output"].as_array().unwrap().iter().collect::<Vec<_>>(), done);
    let kept = surface.get(&format!("{PATH}/{}", response["id"].as_str().unwrap())).await;
    assert_eq!(&kept, response);
}

#[tokio::test]
async fn a_limit_ends_a_response_as_incomplete() {
    let surface = Surface::playing(Script::text(["a"]).finish(FinishReason::Length));
    let events = events(&surface, PATH, Some(ask(json!({"stream": true})))).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[tokio::test]
async fn an_engine_that_breaks_fails_the_response_and_says_so_to_all() {
    let script = || Script::text(["a"]).fail(EngineError::Failed("secret".into()));
    let surface = Surface::playing(script());
    let events = events(&surface, PATH, Some(ask(json!({"stream": true})))).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert!(!last.to_string().contains("secret"));
    let kept = surface.get(&format!("{PATH}/{}", last["response"]["id"].as_str().unwrap())).await;
    assert_eq!(kept["status"], "failed");
    let (status, _) = surface.refusal(PATH, ask(json!({}))).await;
    assert_eq!(status, 500);
}

#[tokio::test]
async fn a_response_goes_on_from_another_and_both_branches_are_kept() {
    let surface = Surface::playing(Script::text(["one"]));
    let first = surface.json(PATH, ask(json!({"instructions": "only now"}))).await;
    let next = |text: &str| ask(json!({"input": text, "previous_response_id": first["id"]}));
    let second = surface.json(PATH, next("left")).await;
    assert_eq!(
        said(&surface),
        [user("hi"), assistant("one"), user("left")],
        "instructions are not carried over"
    );
    surface.json(PATH, next("right")).await;
    assert_eq!(said(&surface), [user("hi"), assistant("one"), user("right")]);
    surface.json(PATH, ask(json!({"input": "more", "previous_response_id": second["id"]}))).await;
    let expected = [user("hi"), assistant("one"), user("left"), assistant("one"), user("more")];
    assert_eq!(said(&surface), expected);
    let path = format!("{PATH}/{}", first["id"].as_str().unwrap());
    assert_eq!(surface.status(Method::DELETE, &path).await, 200);
    assert_eq!(surface.status(Method::GET, &path).await, 404);
    let (status, error) = surface.refusal(PATH, next("again")).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("response_not_found")));
}

#[tokio::test]
async fn a_call_and_its_output_go_back_to_the_model() {
    let surface = Surface::playing(Script::text(["done"]));
    surface.engine.enqueue(Script::new().say("wait").call("call_1", "f", ["{}"]));
    let first = surface.json(PATH, ask(json!({"tools": [{"type": "function", "name": "f"}]}))).await;
    let output = json!([{"type": "function_call_output", "call_id": "call_1", "output": "42"}]);
    surface.json(PATH, ask(json!({"input": output, "previous_response_id": first["id"]}))).await;
    assert_eq!(said(&surface), [user("hi"), assistant("wait"), (Role::Tool, "42".to_owned())]);
    let requests = surface.engine.requests();
    let Some(Prompt::Chat(chat)) = requests.last().map(|request| &request.prompt) else { panic!("a chat") };
    assert_eq!(chat.messages[1].tool_calls.as_ref().unwrap()[0].id, "call_1");
    assert_eq!(chat.messages[2].tool_call_id.as_deref(), Some("call_1"));
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let surface = Surface::playing(Script::text(["a"]));
    let response = surface.json(PATH, ask(json!({"store": false}))).await;
    let path = format!("{PATH}/{}", response["id"].as_str().unwrap());
    assert_eq!(surface.status(Method::GET, &path).await, 404);
}

#[tokio::test]
async fn a_conversation_gains_each_turn_from_responses_and_from_chat() {
    let surface = Surface::playing(Script::text(["yes"]));
    let items = json!([{"role": "system", "content": "be kind"}]);
    let made = surface.json("/v1/conversations", json!({"items": items, "metadata": {"k": "v"}})).await;
    let id = made["id"].as_str().unwrap();
    let response = surface.json(PATH, ask(json!({"conversation": id}))).await;
    assert_eq!(response["conversation"]["id"], id);
    let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": "again"}]);
    surface.json("/v1/chat/completions", chat(json!({"conversation": id, "messages": messages}))).await;
    let expected = [(Role::System, "be kind".to_owned()), user("hi"), assistant("yes"), user("again")];
    assert_eq!(said(&surface), expected, "instructions that are there already are not said twice");
    let path = format!("/v1/conversations/{id}/items");
    let listed = surface.get(&format!("{path}?order=asc")).await;
    let roles: Vec<_> = listed["data"].as_array().unwrap().iter().map(|item| item["role"].clone()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    let page = surface.get(&format!("{path}?limit=2")).await;
    assert_eq!((page["has_more"].clone(), page["data"][0].clone()), (json!(true), listed["data"][4].clone()));
    let last = page["last_id"].as_str().unwrap();
    let next = surface.get(&format!("{path}?limit=100&after={last}")).await;
    assert_eq!((next["has_more"].clone(), next["data"].as_array().unwrap().len()), (json!(false), 3));
    let item = format!("{path}/{last}");
    assert_eq!(surface.get(&item).await, page["data"][1]);
    assert_eq!(surface.status(Method::DELETE, &item).await, 200);
    assert_eq!(surface.status(Method::GET, &item).await, 404);
    assert_eq!(surface.status(Method::DELETE, &format!("/v1/conversations/{id}")).await, 200);
    let (status, error) = surface.refusal(PATH, ask(json!({"conversation": id}))).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("conversation_not_found")));
}

#[tokio::test]
async fn of_two_that_go_on_at_once_one_wins_and_the_other_is_told() {
    let surface = Surface::playing(Script::text(["a"]));
    let gate = Gate::closed();
    let made = surface.json("/v1/conversations", json!({})).await;
    surface.engine.enqueue(Script::new().gate(&gate).say("late"));
    let slow = surface.refusal(PATH, ask(json!({"conversation": made["id"]})));
    let quick = async {
        while surface.engine.running() == 0 {
            tokio::task::yield_now().await;
        }
        surface.json(PATH, ask(json!({"conversation": made["id"]}))).await;
        gate.open();
    };
    let ((status, error), ()) = tokio::join!(slow, quick);
    assert_eq!((status, error["code"].as_str()), (409, Some("conversation_conflict")));
    let listed = surface.get(&format!("/v1/conversations/{}/items", made["id"].as_str().unwrap())).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "one turn");
}

#[tokio::test]
async fn an_answer_whose_client_leaves_is_kept_as_far_as_it_came() {
    let surface = Surface::playing(Script::text(["a"]));
    let gate = Gate::closed();
    let made = surface.json("/v1/conversations", json!({})).await;
    surface.engine.enqueue(Script::text(["half"]).gate(&gate).say("never"));
    let body = ask(json!({"conversation": made["id"], "stream": true}));
    let mut stream = surface.post(PATH, body).await.into_body().into_bytes_stream();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("half") {
        seen.extend_from_slice(&futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap());
    }
    drop(stream);
    surface.lifecycle.drain();
    surface.lifecycle.finished(std::time::Duration::from_secs(10)).await;
    let listed = surface.get(&format!("/v1/conversations/{}/items", made["id"].as_str().unwrap())).await;
    assert_eq!(listed["data"][0]["content"][0]["text"], "half");
    assert_eq!(listed["data"][0]["status"], "incomplete");
}

#[tokio::test]
async fn a_question_without_a_word_of_answer_is_not_kept_alone() {
    let surface = Surface::playing(Script::new().fail(EngineError::Failed("broken".into())));
    let made = surface.json("/v1/conversations", json!({})).await;
    let (status, _) = surface.refusal(PATH, ask(json!({"conversation": made["id"]}))).await;
    assert_eq!(status, 500);
    let listed = surface.get(&format!("/v1/conversations/{}/items", made["id"].as_str().unwrap())).await;
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn truncation_drops_the_oldest_turns_and_says_so() {
    let surface = Surface::playing(Script::text(["a"]));
    let made = surface.json("/v1/conversations", json!({})).await;
    let long = "word ".repeat(5_000);
    let turn =
        |truncation: &str| ask(json!({"conversation": made["id"], "input": long, "truncation": truncation}));
    surface.json(PATH, turn("disabled")).await;
    surface.json(PATH, turn("disabled")).await;
    let (status, error) = surface.refusal(PATH, turn("disabled")).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("context_length_exceeded")));
    let answer = surface.post(PATH, turn("auto")).await;
    let header = answer.headers()["x-sluice-truncated-messages"].to_str().unwrap().to_owned();
    let response = read(answer).await;
    assert_eq!((header.as_str(), &response["truncated_items"]), ("2", &json!(2)));
    assert_eq!(said(&surface).len(), 3);
}

#[tokio::test]
async fn nobody_finds_what_is_not_there() {
    let surface = Surface::playing(Script::text(["a"]));
    for path in [
        "/v1/responses/resp_1",
        "/v1/responses/..%2Fx",
        "/v1/conversations/conv_1",
        "/v1/conversations/a%20b",
    ] {
        assert_eq!(surface.status(Method::GET, path).await, 404, "{path}");
        assert_eq!(surface.status(Method::DELETE, path).await, 404, "{path}");
    }
    assert_eq!(surface.status(Method::GET, "/v1/responses/resp_1/input_items").await, 404);
    assert_eq!(surface.status(Method::POST, "/v1/responses/resp_1/cancel").await, 404);
    assert_eq!(surface.status(Method::GET, "/v1/responses/resp_1?stream=true").await, 404);
}

mod background {
    use super::*;

    async fn ended(surface: &Surface, id: &str) -> Value {
        loop {
            let response = surface.get(&format!("{PATH}/{id}")).await;
            if !["queued", "in_progress"].contains(&response["status"].as_str().unwrap()) {
                return response;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_response_is_made_though_nobody_waits_and_told_from_any_place() {
        let surface = Surface::playing(Script::text(["Hel", "lo"]));
        let queued = surface.json(PATH, ask(json!({"background": true}))).await;
        assert_eq!(queued["status"], "queued");
        let id = queued["id"].as_str().unwrap();
        let response = ended(&surface, id).await;
        assert_eq!(response["output"][0]["content"][0]["text"], "Hello");
        let all = events(&surface, &format!("{PATH}/{id}?stream=true"), None).await;
        assert_eq!(kinds(&all)[..3], ["response.created", "response.queued", "response.in_progress"]);
        assert_eq!(kinds(&all).last(), Some(&"response.completed"));
        for after in 0..all.len() - 1 {
            let path = format!("{PATH}/{id}?stream=true&starting_after={after}");
            assert_eq!(events(&surface, &path, None).await, all[after + 1..]);
        }
        let path = format!("{PATH}/{id}?stream=true&starting_after={}", all.len() - 1);
        assert_eq!(events(&surface, &path, None).await, [] as [Value; 0], "nothing is left, nor waited for");
    }

    #[tokio::test]
    async fn a_reader_that_leaves_leaves_the_response_alone() {
        let gate = Gate::closed();
        let surface = Surface::playing(Script::text(["a"]).gate(&gate).say("b"));
        let body = ask(json!({"background": true, "stream": true}));
        let mut stream = surface.post(PATH, body).await.into_body().into_bytes_stream();
        let first = futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap();
        let first = String::from_utf8(first.to_vec()).unwrap();
        let id = first.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        drop(stream);
        gate.open();
        assert_eq!(ended(&surface, &id).await["output"][0]["content"][0]["text"], "ab");
    }

    #[tokio::test]
    async fn a_cancelled_response_ends_and_stays_cancelled() {
        let gate = Gate::closed();
        let surface = Surface::playing(Script::text(["a"]).gate(&gate).say("b"));
        let queued = surface.json(PATH, ask(json!({"background": true}))).await;
        let id = queued["id"].as_str().unwrap();
        let cancelled = surface.json(&format!("{PATH}/{id}/cancel"), json!(null)).await;
        assert_eq!(cancelled["status"], "cancelled");
        gate.open();
        assert_eq!(surface.json(&format!("{PATH}/{id}/cancel"), json!(null)).await["status"], "cancelled");
        let made = surface.json(PATH, ask(json!({}))).await;
        let path = format!("{PATH}/{}/cancel", made["id"].as_str().unwrap());
        assert_eq!(surface.status(Method::POST, &path).await, 400, "only what is made in the background");
    }

    #[tokio::test]
    async fn a_deleted_response_does_not_come_back() {
        let gate = Gate::closed();
        let surface = Surface::playing(Script::text(["a"]).gate(&gate).say("b"));
        let queued = surface.json(PATH, ask(json!({"background": true}))).await;
        let path = format!("{PATH}/{}", queued["id"].as_str().unwrap());
        assert_eq!(surface.status(Method::DELETE, &path).await, 200);
        gate.open();
        surface.lifecycle.drain();
        surface.lifecycle.finished(std::time::Duration::from_secs(10)).await;
        assert_eq!(surface.status(Method::GET, &path).await, 404);
    }
}
