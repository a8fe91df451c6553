//! Walks over the allowed tokens of a toy vocabulary: whatever the model would say, the answer has its shape.

use openapi::message::{ResponseFormat, Tool, ToolChoice};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::oracle::is_valid;
use super::{
    Answer, CallRule, Constraint, ConstraintError, ConstraintFactory, ConstraintRule, Mask, rule_for,
};
use crate::engine::llama::output::{Flow, OutputParser, OutputStyle, ReasoningMarks, ToolFormat, ToolStyle};
use crate::engine::llama::vocabulary::{TokenEntry, Vocabulary};
use crate::engine::{ChatPrompt, DeltaPart};

const END: u32 = 256;

/// All bytes, two tokens that end a generation, some words, and marks that are special where asked.
fn vocabulary(special_marks: bool) -> Vocabulary {
    let plain = |bytes: &[u8]| TokenEntry { bytes: bytes.to_vec(), ..TokenEntry::default() };
    let end = |text: &str| TokenEntry { bytes: text.into(), special: true, end_of_generation: true };
    let mut entries: Vec<TokenEntry> = (0..=255_u8).map(|byte| plain(&[byte])).collect();
    entries.extend([end("<|im_end|>"), end("<|endoftext|>")]);
    entries.extend(
        ["{\"", "\":", "\"}", ", \"", "name", "<tool", "_call>", "</", "true", "12", "\n\n"]
            .map(|t| plain(t.as_bytes())),
    );
    if special_marks {
        let marks = [
            "<tool_call>",
            "</tool_call>",
            "[TOOL_CALLS]",
            "[ARGS]",
            "<think>",
            "</think>",
            "<|python_tag|>",
            "<|im_start|>",
        ];
        entries.extend(marks.map(|mark| TokenEntry {
            bytes: mark.into(),
            special: true,
            end_of_generation: false,
        }));
    }
    Vocabulary::new(entries, None, Some(END))
}

pub(super) struct Toy {
    vocabulary: Vocabulary,
    pub(super) factory: ConstraintFactory,
}

impl Toy {
    pub(super) fn new(special_marks: bool) -> Self {
        let vocabulary = vocabulary(special_marks);
        let factory = ConstraintFactory::new(&vocabulary).unwrap();
        Self { vocabulary, factory }
    }

    fn constraint(&self, rule: &ConstraintRule) -> Constraint {
        self.factory.compile(rule).unwrap().unwrap()
    }

    /// Draws allowed tokens, preferring those that close things, until the end of the generation is drawn.
    pub(super) fn walk(&self, rule: &ConstraintRule, seed: u64) -> Vec<u32> {
        let mut constraint = self.constraint(rule);
        let mut random = StdRng::seed_from_u64(seed);
        let mut tokens = Vec::new();
        for step in 0..4000 {
            let Mask::Allowed(words) = constraint.mask().unwrap() else { panic!("the mask is free") };
            let allowed = |id: u32| words[id as usize / 32] >> (id % 32) & 1 == 1;
            assert_eq!(allowed(END), allowed(END + 1), "all ends of generation are alike");
            let closing = b"\"}],0>".iter().map(|&byte| u32::from(byte)).find(|&id| allowed(id));
            let token = if allowed(END) && (step > 60 || random.random_bool(0.5)) {
                END
            } else if let Some(closing) =
                closing.filter(|_| random.random_bool(if step > 60 { 0.9 } else { 0.3 }))
            {
                // Not always: `-0.` goes on with zeros for as long as nothing else is drawn.
                closing
            } else {
                let choices = (0..u32::try_from(self.vocabulary.len()).unwrap())
                    .filter(|&id| allowed(id) && id != END + 1);
                choices.choose(&mut random).expect("some token is always allowed")
            };
            if token == END {
                constraint.accept(token).unwrap();
                return tokens;
            }
            constraint.accept(token).unwrap();
            tokens.push(token);
        }
        panic!("the walk never ended: {}", self.text(&tokens));
    }

    pub(super) fn text(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.vocabulary.bytes(token).to_vec()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn read(&self, style: &OutputStyle, tokens: &[u32]) -> Vec<DeltaPart> {
        let mut parser = OutputParser::new(style, &[]);
        let mut parts = Vec::new();
        for &token in tokens {
            if parser.push(self.vocabulary.bytes(token), &mut parts) == Flow::Stopped {
                break;
            }
        }
        parser.finish(&mut parts);
        parts
    }

    fn token(&self, text: &str) -> u32 {
        let count = u32::try_from(self.vocabulary.len()).unwrap();
        (0..count).find(|&id| self.vocabulary.bytes(id) == text.as_bytes()).unwrap()
    }

    /// Feeds a text byte by byte; tells how far it was allowed.
    fn follow(&self, constraint: &mut Constraint, text: &str) -> usize {
        for (at, byte) in text.bytes().enumerate() {
            let token = u32::from(byte);
            assert_eq!(self.vocabulary.bytes(token), [byte]);
            if let Mask::Allowed(words) = constraint.mask().unwrap()
                && words[usize::from(byte) / 32] >> (byte % 32) & 1 == 0
            {
                return at;
            }
            constraint.accept(token).unwrap();
        }
        text.len()
    }
}

pub(super) fn schema_rule(schema: Value) -> ConstraintRule {
    ConstraintRule { answer: Answer::JsonSchema(schema), ..ConstraintRule::free() }
}

fn person() -> Value {
    json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"], "additionalProperties": false})
}

fn style(format: ToolFormat, parallel: bool) -> OutputStyle {
    let names = ["add".to_owned(), "who".to_owned()].into();
    OutputStyle { tools: Some(ToolStyle { format, names, parallel }), ..OutputStyle::default() }
}

fn tool(name: &str, parameters: &Value, strict: bool) -> Tool {
    serde_json::from_value(
        json!({"type": "function", "function": {"name": name, "parameters": parameters, "strict": strict}}),
    )
    .unwrap()
}

fn chat(choice: &Value, strict: bool, parallel: bool) -> ChatPrompt {
    let add = json!({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": false});
    let tool_choice: ToolChoice = serde_json::from_value(choice.clone()).unwrap();
    let tools = vec![tool("add", &add, strict), tool("who", &person(), strict)];
    ChatPrompt { messages: Vec::new(), tools, tool_choice, parallel_tool_calls: parallel }
}

/// The calls of the parts, each with its arguments; the rest must be reasoning.
fn calls(parts: &[DeltaPart]) -> Vec<(String, Value)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for part in parts {
        match part {
            DeltaPart::ToolCall { name, .. } => calls.push((name.clone(), String::new())),
            DeltaPart::ToolArguments { arguments, .. } => calls.last_mut().unwrap().1.push_str(arguments),
            DeltaPart::Reasoning(_) => {}
            DeltaPart::Content(text) => panic!("content between calls: {text:?}"),
        }
    }
    calls.into_iter().map(|(name, arguments)| (name, serde_json::from_str(&arguments).unwrap())).collect()
}

#[test]
fn required_calls_validate_in_every_format() {
    for special in [false, true] {
        let toy = Toy::new(special);
        for format in
            [ToolFormat::Hermes, ToolFormat::Llama, ToolFormat::MistralList, ToolFormat::MistralNamed]
        {
            for (parallel, seed) in [(true, 1), (false, 2), (true, 3)] {
                let style = style(format, parallel);
                let chat = chat(&json!("required"), false, parallel);
                let rule = rule_for(&style, &chat, &ResponseFormat::Text).unwrap();
                let tokens = toy.walk(&rule, seed);
                let calls = calls(&toy.read(&style, &tokens));
                assert!(!calls.is_empty() && (parallel || calls.len() == 1), "{}", toy.text(&tokens));
                for (name, arguments) in calls {
                    let tool = chat.tools.iter().find(|tool| tool.function.name == name).unwrap();
                    assert!(is_valid(tool.function.parameters.as_ref().unwrap(), &arguments), "{arguments}");
                }
            }
        }
    }
}

#[test]
fn a_named_function_is_called_exactly_once() {
    let toy = Toy::new(true);
    let style = style(ToolFormat::Hermes, true);
    let chat = chat(&json!({"type": "function", "function": {"name": "add"}}), false, true);
    let rule = rule_for(&style, &chat, &ResponseFormat::Text).unwrap();
    let calls = calls(&toy.read(&style, &toy.walk(&rule, 7)));
    assert!(matches!(calls.as_slice(), [(name, _)] if name == "add"));
}

#[test]
fn strict_tools_leave_text_free_until_a_call_begins() {
    let toy = Toy::new(false);
    let style = style(ToolFormat::Hermes, true);
    let rule = rule_for(&style, &chat(&json!("auto"), true, true), &ResponseFormat::Text).unwrap();
    let mut constraint = toy.constraint(&rule);
    assert_eq!(constraint.mask().unwrap(), Mask::Free);
    let call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    let text = format!("Some <tool_box> of text \u{e9}{{}}. {call} and {call}\nEnd");
    assert_eq!(toy.follow(&mut constraint, &text), text.len());
    let mut constraint = toy.constraint(&rule);
    let wrong = "x <tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 3";
    assert_eq!(toy.follow(&mut constraint, wrong), wrong.len() - 1);
    assert!(!constraint.is_complete());
    let Mask::Allowed(words) = constraint.mask().unwrap() else { panic!("free inside a call") };
    assert_eq!(words[END as usize / 32] >> (END % 32) & 1, 0, "a call cannot end in its middle");
}

#[test]
fn a_special_token_begins_a_strict_call_as_well() {
    let toy = Toy::new(true);
    let rule = rule_for(
        &style(ToolFormat::MistralNamed, true),
        &chat(&json!("auto"), true, true),
        &ResponseFormat::Text,
    )
    .unwrap();
    let mut constraint = toy.constraint(&rule);
    assert_eq!(toy.follow(&mut constraint, "some text"), 9);
    constraint.accept(toy.token("[TOOL_CALLS]")).unwrap();
    assert_eq!(toy.follow(&mut constraint, "adx"), 2);
    constraint.accept(u32::from(b'd')).unwrap();
    constraint.accept(toy.token("[ARGS]")).unwrap();
    assert_eq!(toy.follow(&mut constraint, "{\"a\":2} and text"), 16);
}

#[test]
fn a_bare_call_and_text_are_both_possible_for_llama() {
    let toy = Toy::new(true);
    let rule =
        rule_for(&style(ToolFormat::Llama, false), &chat(&json!("auto"), true, false), &ResponseFormat::Text)
            .unwrap();
    assert_eq!(toy.follow(&mut toy.constraint(&rule), "Just text, {with} braces"), 24);
    let call = "{\"name\": \"add\", \"parameters\": {\"a\": 2}}";
    assert_eq!(toy.follow(&mut toy.constraint(&rule), call), call.len());
    assert_eq!(toy.follow(&mut toy.constraint(&rule), "{\"nope"), 3);
}

#[test]
fn without_a_demand_there_is_no_constraint() {
    let toy = Toy::new(false);
    let rule =
        rule_for(&style(ToolFormat::Hermes, true), &chat(&json!("auto"), false, true), &ResponseFormat::Text)
            .unwrap();
    assert!(toy.factory.compile(&rule).unwrap().is_none());
}

#[test]
fn an_answer_in_a_format_may_still_be_a_call() {
    let toy = Toy::new(true);
    let format: ResponseFormat = serde_json::from_value(json!({"type": "json_object"})).unwrap();
    let rule =
        rule_for(&style(ToolFormat::Hermes, true), &chat(&json!("auto"), false, true), &format).unwrap();
    let json = "{\"x\": [1, null]}";
    let mut constraint = toy.constraint(&rule);
    assert_eq!(toy.follow(&mut constraint, json), json.len());
    assert!(constraint.is_complete());
    assert_eq!(toy.follow(&mut toy.constraint(&rule), "text"), 0);
}

#[test]
fn reasoning_comes_before_the_shape() {
    let marks = ReasoningMarks { open: "<think>".to_owned(), close: "</think>".to_owned() };
    let rule = |inside| ConstraintRule { reasoning: Some((marks.clone(), inside)), ..schema_rule(person()) };
    let json = "{\"name\": \"Al\", \"age\": 3}";
    let spelt = Toy::new(false);
    for (inside, text) in [
        (true, format!("hm {{}} </thin\n</think>\n\n{json}")),
        (false, format!("<think>\nhm</think>{json}")),
        (false, json.to_owned()),
    ] {
        let mut constraint = spelt.constraint(&rule(inside));
        assert_eq!(spelt.follow(&mut constraint, &text), text.len(), "{text}");
        assert!(constraint.is_complete(), "{text}");
    }
    assert_eq!(spelt.follow(&mut spelt.constraint(&rule(true)), "hm</think>x"), 10);
    assert_eq!(spelt.follow(&mut spelt.constraint(&rule(false)), "hm"), 0);
    let special = Toy::new(true);
    let mut constraint = special.constraint(&rule(true));
    assert_eq!(special.follow(&mut constraint, "hm\n"), 3);
    constraint.accept(special.token("</think>")).unwrap();
    assert_eq!(special.follow(&mut constraint, json), json.len());
}

#[test]
fn white_space_is_bounded() {
    let toy = Toy::new(false);
    let mut constraint = toy.constraint(&schema_rule(person()));
    assert_eq!(toy.follow(&mut constraint, "{ \"name\" : \"Al\", \"age\": 3  }"), 26);
}

#[test]
fn a_clone_goes_on_by_itself() {
    let toy = Toy::new(false);
    let mut one = toy.constraint(&schema_rule(json!({"enum": ["ab", "cd"]})));
    assert_eq!(toy.follow(&mut one, "\""), 1);
    let mut other = one.clone();
    assert_eq!(toy.follow(&mut one, "ab\""), 3);
    assert_eq!(toy.follow(&mut other, "cd\""), 3);
    assert!(one.is_complete() && other.is_complete());
}

#[test]
fn an_unknown_function_is_refused_by_name() {
    let chat = chat(&json!({"type": "function", "function": {"name": "nobody"}}), false, true);
    let refused = rule_for(&style(ToolFormat::Hermes, true), &chat, &ResponseFormat::Text);
    assert!(
        matches!(refused, Err(ConstraintError::Refused { param: "tool_choice", message }) if message.contains("nobody"))
    );
}

#[test]
fn a_vocabulary_that_cannot_end_is_an_error() {
    assert!(ConstraintFactory::new(&Vocabulary::default()).is_err());
}

#[test]
fn functions_without_parameters_take_any_object() {
    let toy = Toy::new(false);
    let rule = CallRule {
        format: ToolFormat::Llama,
        functions: vec![("f\"\\".to_owned(), json!({}))],
        parallel: false,
    };
    let rule = ConstraintRule { answer: Answer::None, calls: Some(rule), reasoning: None };
    let text = toy.text(&toy.walk(&rule, 3));
    assert!(text.starts_with("{\"name\": \"f\\\"\\\\\", \"parameters\": {"), "{text}");
    serde_json::from_str::<Value>(&text).unwrap();
}
