//! A rule written as a grammar: reasoning, then calls or the answer, with the marks of the model's own format.

use std::fmt::Write;

use serde_json::{Value, json};

use super::rule::{Answer, CallRule, ConstraintRule, any_object};
use super::{ConstraintError, schema};
use crate::engine::llama::output::ToolFormat;
use crate::engine::llama::vocabulary::Vocabulary;

/// Finds the tokens that are marks, so that a grammar names the token where there is one and spells it where not.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    special: std::collections::HashMap<Vec<u8>, u32>,
}

impl Marks {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let ids = 0..u32::try_from(vocabulary.len()).unwrap_or(u32::MAX);
        let special = ids.filter(|&id| vocabulary.is_special(id) && !vocabulary.is_end_of_generation(id));
        Self { special: special.map(|id| (vocabulary.bytes(id).to_vec(), id)).collect() }
    }

    pub(super) fn token(&self, mark: &str) -> Option<u32> {
        self.special.get(mark.as_bytes()).copied()
    }

    fn symbol(&self, mark: &str) -> String {
        self.token(mark).map_or_else(|| literal(mark), |id| format!("<[{id}]>"))
    }

    /// Text up to and with the mark, as a rule of this name.
    fn up_to(&self, grammar: &mut String, rule: &str, mark: &str) {
        match self.token(mark) {
            Some(id) => line(grammar, &format!("{rule}: ANY <[{id}]>")),
            // The shortest match ends the text at the mark, however the tokens fall.
            None => line(grammar, &format!("{rule}[lazy]: ANY {}", literal(mark))),
        }
    }
}

/// The rule as Lark; none where it demands nothing.
pub(super) fn grammar(rule: &ConstraintRule, marks: &Marks) -> Result<Option<String>, ConstraintError> {
    let mut grammar = String::from("ANY: /(.|\\n)*/\n");
    let lazy = is_lazy(rule);
    let body = match (&rule.answer, &rule.calls) {
        (Answer::Free, None) => return Ok(None),
        (Answer::Free, Some(calls)) => {
            free_with_calls(&mut grammar, calls, marks)?;
            "free".to_owned()
        }
        (answer, calls) => {
            let mut choices = Vec::new();
            if let Some(calls) = calls {
                call_rules(&mut grammar, calls, marks)?;
                choices.push("calls");
            }
            if let Some(answer) = answer_schema(answer)? {
                line(&mut grammar, &format!("answer: %json {answer}"));
                choices.push("answer");
            }
            choices.join(" | ")
        }
    };
    let reasoning = rule.reasoning.as_ref().filter(|_| !lazy);
    let prefix = match reasoning {
        None => String::new(),
        Some((reasoning, inside)) => {
            marks.up_to(&mut grammar, "reasoning", &reasoning.close);
            line(&mut grammar, "GAP: /\\n{1,2}/");
            if *inside {
                "reasoning GAP? ".to_owned()
            } else {
                format!("({} reasoning GAP?)? ", marks.symbol(&reasoning.open))
            }
        }
    };
    line(&mut grammar, &format!("start: {prefix}({body})"));
    Ok(Some(grammar))
}

/// Whether the answer is free until a mark begins a call.
pub(super) fn is_lazy(rule: &ConstraintRule) -> bool {
    rule.answer == Answer::Free && rule.calls.as_ref().is_some_and(|calls| calls.format != ToolFormat::Llama)
}

fn answer_schema(answer: &Answer) -> Result<Option<Value>, ConstraintError> {
    let param = "response_format";
    Ok(match answer {
        Answer::Free | Answer::None => None,
        Answer::JsonObject => Some(schema::prepare(&any_object(), param)?),
        Answer::JsonSchema(schema) => Some(schema::prepare(schema, param)?),
    })
}

/// Free text in which each call is well formed.
fn free_with_calls(grammar: &mut String, rule: &CallRule, marks: &Marks) -> Result<(), ConstraintError> {
    let again = if rule.parallel { "*" } else { "?" };
    function_rules(grammar, rule, marks)?;
    match rule.format {
        ToolFormat::Hermes => {
            marks.up_to(grammar, "before", "<tool_call>");
            line(grammar, &format!("tagged: before \"\\n\"? call \"\\n\"? {}", marks.symbol("</tool_call>")));
        }
        ToolFormat::MistralList => {
            marks.up_to(grammar, "before", "[TOOL_CALLS]");
            line(grammar, "tagged: before \" \"? \"[\" call (\", \" call)* \"]\"");
        }
        ToolFormat::MistralNamed => {
            marks.up_to(grammar, "before", "[TOOL_CALLS]");
            line(grammar, "tagged: before call");
        }
        ToolFormat::Llama => {
            // No mark tells a bare call from text: an answer that begins with a brace is one.
            line(grammar, "TEXT: /[ \\n]*[^{ \\n](.|\\n)*/");
            let several = if rule.parallel { "(\"; \" call)*" } else { "" };
            line(grammar, &format!("free: TEXT? | {}? call {several}", marks.symbol("<|python_tag|>")));
            return Ok(());
        }
    }
    line(grammar, &format!("free: tagged{again} ANY"));
    Ok(())
}

/// One call or more, and nothing else.
fn call_rules(grammar: &mut String, rule: &CallRule, marks: &Marks) -> Result<(), ConstraintError> {
    function_rules(grammar, rule, marks)?;
    let open = marks.symbol(rule.format.open());
    let (one, separator) = match rule.format {
        ToolFormat::Hermes => {
            (format!("{open} \"\\n\" call \"\\n\" {}", marks.symbol("</tool_call>")), "\"\\n\"")
        }
        ToolFormat::Llama => ("call".to_owned(), "\"; \""),
        ToolFormat::MistralNamed => (format!("{open} call"), ""),
        ToolFormat::MistralList => {
            let several = if rule.parallel { "(\", \" call)*" } else { "" };
            line(grammar, &format!("calls: {open} \" \"? \"[\" call {several} \"]\""));
            return Ok(());
        }
    };
    line(grammar, &format!("one: {one}"));
    let several = if rule.parallel { format!("({separator} one)*") } else { String::new() };
    line(grammar, &format!("calls: one {several}"));
    Ok(())
}

/// `call`: any of the functions with its own arguments.
fn function_rules(grammar: &mut String, rule: &CallRule, marks: &Marks) -> Result<(), ConstraintError> {
    let mut choices = Vec::with_capacity(rule.functions.len());
    for (index, (name, parameters)) in rule.functions.iter().enumerate() {
        let arguments = schema::prepare(&object_only(parameters), "tools")?;
        line(grammar, &format!("arguments_{index}: %json {arguments}"));
        let call = if rule.format == ToolFormat::MistralNamed {
            format!("{} {} arguments_{index}", literal(name), marks.symbol("[ARGS]"))
        } else {
            let head = format!("{{\"name\": {}, \"{}\": ", json!(name), rule.format.arguments_key());
            format!("{} arguments_{index} \"}}\"", literal(&head))
        };
        line(grammar, &format!("call_{index}: {call}"));
        choices.push(format!("call_{index}"));
    }
    line(grammar, &format!("call: {}", choices.join(" | ")));
    Ok(())
}

/// Arguments are an object, also where the schema forgets to say so.
fn object_only(parameters: &Value) -> Value {
    let mut parameters = parameters.clone();
    if let Value::Object(keywords) = &mut parameters {
        keywords.entry("type").or_insert_with(|| json!("object"));
    }
    parameters
}

fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

fn line(grammar: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(grammar, "{text}");
}
