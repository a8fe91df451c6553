//! Stop strings: they end the answer, and not a character of them is ever seen.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tests::Gateway;

async fn text_with(gateway: &Gateway, request: &Value) -> (String, String) {
    gateway.http().warm(request).await;
    let streamed = gateway.http().chat_stream(request).await;
    let choice = streamed.only().clone();
    let whole = gateway.http().chat(request).await;
    let message = &whole["choices"][0];
    assert_eq!(message["message"]["content"], choice.content, "streamed and whole agree");
    assert_eq!(message["finish_reason"].as_str(), choice.finish_reason.as_deref());
    (choice.content, choice.finish_reason.unwrap_or_default())
}

#[tokio::test]
async fn any_piece_of_an_answer_can_be_a_stop_string() {
    let gateway = Gateway::start().await;
    let request = gateway.endless("Write a long sentence about mountains and rivers.", 40);
    let (full, reason) = text_with(&gateway, &request).await;
    assert_eq!(reason, "length");
    let letters: Vec<char> = full.chars().collect();
    // Windows that begin anywhere cross token borders in every way.
    for (start, length) in [(0, 3), (7, 1), (11, 9), (20, 14), (33, 5), (41, 23), (52, 2)] {
        let Some(piece) = letters.get(start..start + length) else { continue };
        let stop: String = piece.iter().collect();
        let expected = full.split(&stop).next().unwrap_or_default();
        let mut stopped = request.clone();
        stopped["stop"] = json!(stop);
        let (text, reason) = text_with(&gateway, &stopped).await;
        assert_eq!(text, expected, "stop {stop:?}");
        assert_eq!(reason, "stop", "stop {stop:?}");
    }
}

#[tokio::test]
async fn the_first_of_several_stop_strings_wins() {
    let gateway = Gateway::start().await;
    let request = gateway.endless("Write a long sentence about mountains and rivers.", 40);
    let (full, _) = text_with(&gateway, &request).await;
    let letters: Vec<char> = full.chars().collect();
    let early: String = letters[12..20].iter().collect();
    let late: String = letters[40..46].iter().collect();
    let mut stopped = request.clone();
    stopped["stop"] = json!(["never in the text", late, early]);
    let (text, reason) = text_with(&gateway, &stopped).await;
    assert_eq!(text, full.split(&early).next().unwrap_or_default());
    assert_eq!(reason, "stop");
}

#[tokio::test]
async fn a_stop_string_that_only_begins_is_let_through_at_the_end() {
    let gateway = Gateway::start().await;
    let request = gateway.endless("Write a long sentence about mountains and rivers.", 40);
    let (full, _) = text_with(&gateway, &request).await;
    let tail: String = full.chars().skip(full.chars().count().saturating_sub(6)).collect();
    let mut stopped = request.clone();
    stopped["stop"] = json!(format!("{tail} and then something that never comes"));
    let (text, reason) = text_with(&gateway, &stopped).await;
    assert_eq!(text, full, "what was held back is told when the answer ends");
    assert_eq!(reason, "length");
}

#[tokio::test]
async fn no_prefix_of_a_stop_string_leaks_in_any_chunk() {
    let gateway = Gateway::start().await;
    let mut request = gateway.endless("Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,", 48);
    let (full, _) = text_with(&gateway, &request).await;
    let letters: Vec<char> = full.chars().collect();
    let stop: String = letters[15..30].iter().collect();
    let expected = full.split(&stop).next().unwrap_or_default().to_owned();
    request["stop"] = json!([stop]);
    let mut stream = gateway.http().stream("/v1/chat/completions", &request).await;
    let mut so_far = String::new();
    while let Some(tests::Frame::Data(chunk)) = stream.next().await {
        so_far.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        assert!(expected.starts_with(&so_far), "{so_far:?} runs past {expected:?}");
    }
    assert_eq!(so_far, expected);
}
