//! What a request pays beside the model: a render of its chat, the reading of its answer, a mask of its shape.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::engine::llama::constraint::{Answer, ConstraintFactory, ConstraintRule};
use gateway::engine::llama::output::{OutputParser, OutputStyle, ToolFormat, ToolStyle};
use gateway::engine::llama::template::ChatTemplate;
use gateway::engine::llama::vocabulary::{TokenEntry, Vocabulary};
use gateway::engine::{ChatPrompt, DeltaPart};
use openapi::message::{ToolChoice, ToolMode};
use serde_json::json;

fn chat() -> ChatPrompt {
    let messages = json!([
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is a sluice?"},
        {"role": "assistant", "content": "A gate that lets a stream through."},
        {"role": "user", "content": "And a weir?"}
    ]);
    ChatPrompt {
        messages: serde_json::from_value(messages).unwrap_or_default(),
        tools: Vec::new(),
        tool_choice: ToolChoice::Mode(ToolMode::Auto),
        parallel_tool_calls: true,
    }
}

fn render(criterion: &mut Criterion) {
    let Ok(template) = ChatTemplate::chatml("<|im_start|>", "<|im_end|>") else { return };
    let chat = chat();
    criterion.bench_function("template/render 4 messages", |bench| {
        bench.iter(|| template.render(black_box(&chat)));
    });
}

fn read(criterion: &mut Criterion) {
    let tools = ToolStyle { format: ToolFormat::Hermes, names: ["f".to_owned()].into(), parallel: true };
    let styles = [
        ("plain", OutputStyle::default()),
        ("with tools", OutputStyle { tools: Some(tools), ..OutputStyle::default() }),
    ];
    let tokens: Vec<&[u8]> =
        vec![b"A", b" sl", b"uice", b" is", b" a", b" gate", b",", b"\n", b" mostly", b"."];
    for (name, style) in styles {
        let mut parser = OutputParser::new(&style, &["\n\nUser:".to_owned(), "###".to_owned()]);
        let mut parts: Vec<DeltaPart> = Vec::new();
        criterion.bench_function(&format!("output/10 tokens, {name}"), |bench| {
            bench.iter(|| {
                for token in &tokens {
                    parts.clear();
                    parser.push(black_box(token), &mut parts);
                }
            });
        });
    }
}

fn mask(criterion: &mut Criterion) {
    // As many tokens as the default model has: bytes, then letters in all combinations.
    let letters: Vec<u8> = (b'a'..=b'z').collect();
    let bytes = (0..=255_u8).map(|byte| vec![byte]);
    let words = (0..48_000_usize).map(|i| {
        [i % 26, i / 26 % 26, i / 676 % 26, i / 17_576]
            .iter()
            .filter_map(|&at| letters.get(at).copied())
            .collect()
    });
    let plain = |bytes: Vec<u8>| TokenEntry { bytes, ..TokenEntry::default() };
    let end = TokenEntry { bytes: b"<|im_end|>".to_vec(), special: true, end_of_generation: true };
    let vocabulary =
        Vocabulary::new(std::iter::once(end).chain(bytes.chain(words).map(plain)), None, Some(0));
    let Ok(factory) = ConstraintFactory::new(&vocabulary) else { return };
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": false});
    let rule = ConstraintRule { answer: Answer::JsonSchema(schema), ..ConstraintRule::free() };
    criterion.bench_function("constraint/compile", |bench| {
        bench.iter(|| factory.compile(black_box(&rule)).is_ok());
    });
    let Ok(Some(mut constraint)) = factory.compile(&rule) else { return };
    for byte in b"{\"name\":\"" {
        if constraint.accept(u32::from(*byte) + 1).is_err() {
            return;
        }
    }
    criterion.bench_function("constraint/mask and accept in a string", |bench| {
        bench.iter(|| {
            let _ = black_box(constraint.mask().is_ok());
            constraint.accept(u32::from(b'x') + 1).is_ok()
        });
    });
}

criterion_group!(benches, render, read, mask);
criterion_main!(benches);
