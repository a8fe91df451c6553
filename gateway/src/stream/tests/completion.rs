//! Text completions, byte for byte, and folded.

use openapi::completions::Completion;

use super::{Stage, body, head, one};
use crate::engine::scripted::Script;
use crate::stream::StreamShape;
use crate::stream::completion::fold;

const HEAD: &str =
    r#"{"id":"x-1","object":"text_completion","created":7,"model":"m","system_fingerprint":"fp_0""#;

#[tokio::test]
async fn a_completion_streams_text_and_says_why_it_ended() {
    let (frames, rest) = Stage::set(Script::text(["a", "b"]), one()).await.completion(&[]);
    let expected = [
        format!(
            "data: {HEAD},\"choices\":[{}]}}\n\n",
            r#"{"text":"a","index":0,"logprobs":null,"finish_reason":null}"#
        ),
        format!(
            "data: {HEAD},\"choices\":[{}]}}\n\n",
            r#"{"text":"b","index":0,"logprobs":null,"finish_reason":null}"#
        ),
        format!(
            "data: {HEAD},\"choices\":[{}]}}\n\n",
            r#"{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}"#
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(body(frames).await, expected.concat());
    assert_eq!(rest.outcomes(), ["completed"]);
}

#[tokio::test]
async fn several_prompts_number_their_choices_on_and_sum_their_usage() {
    let shape = StreamShape { choices: 4, ..one() };
    let stage = Stage::set_prompts(Script::text(["a"]), shape, 2).await;
    let echoes = ["p", "p", "q", "q"].map(str::to_owned).to_vec();
    let answer =
        fold(head(), shape, echoes, stage.events).await.expect("folds").folded().expect("it was made here");
    let texts: Vec<_> = answer.choices.iter().map(|choice| (choice.index, choice.text.as_str())).collect();
    assert_eq!(texts, [(0, "pa"), (1, "pa"), (2, "qa"), (3, "qa")]);
    let usage = answer.usage.expect("usage");
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (8, 4, 12));
}

#[tokio::test]
async fn logprobs_are_parallel_lists_with_offsets_that_go_on_over_chunks() {
    let shape = StreamShape { logprobs: true, ..one() };
    let script = || Script::text(["ab", "c"]).hold_back();
    let stage = Stage::set(script(), shape).await;
    let whole = fold(head(), shape, Vec::new(), stage.events)
        .await
        .expect("folds")
        .folded()
        .expect("it was made here");
    let lists = whole.choices[0].logprobs.clone().expect("logprobs");
    assert_eq!(lists.tokens, ["ab", "c", ""]);
    assert_eq!(lists.text_offset, [0, 2, 3]);
    assert_eq!((lists.token_logprobs.len(), lists.top_logprobs.len()), (3, 3));

    let (frames, _rest) = Stage::set(script(), shape).await.completion(&[]);
    let body = body(frames).await;
    let mut offsets = Vec::new();
    for event in body.split_terminator("\n\n").filter(|event| !event.ends_with("[DONE]")) {
        let chunk: Completion = serde_json::from_str(&event["data: ".len()..]).expect("a chunk");
        offsets.extend(chunk.choices[0].logprobs.clone().expect("logprobs").text_offset);
    }
    assert_eq!(offsets, lists.text_offset);
}

#[tokio::test]
async fn an_echo_comes_once_even_where_nothing_is_generated() {
    let (frames, _rest) = Stage::set(Script::new(), one()).await.completion(&["prompt"]);
    let body = body(frames).await;
    assert_eq!(body.matches("prompt").count(), 1);
    assert!(body.contains(r#"{"text":"prompt","index":0,"logprobs":null,"finish_reason":"stop"}"#), "{body}");
}
