//! What of a conversation goes into the model's window: whole turns, the newest; instructions always.
//!
//! A turn begins with what a user says and goes on to the next: so a call never loses its result. What stands before
//! the first turn (system and developer messages) stays, and so does the turn that is to be answered.

use openapi::message::{Message, Role};

/// A conversation, cut into what stays and what may go.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    instructions: Vec<Message>,
    turns: Vec<Vec<Message>>,
    left_out: usize,
}

impl Window {
    /// Cuts a conversation. System and developer messages are instructions wherever they stand, but in the last
    /// turn, where they belong to the question.
    pub fn of(messages: Vec<Message>) -> Self {
        let mut turns: Vec<Vec<Message>> = Vec::new();
        let mut instructions = Vec::new();
        for message in messages {
            let begins = message.role == Role::User
                && turns.last().is_none_or(|turn| turn.iter().any(|said| said.role != Role::User));
            match turns.last_mut() {
                None if is_instruction(&message) => instructions.push(message),
                Some(turn) if !begins => turn.push(message),
                _ => turns.push(vec![message]),
            }
        }
        Self { instructions, turns, left_out: 0 }
    }

    /// Leaves the oldest turn out. `false` where only the last is left.
    pub fn drop_oldest(&mut self) -> bool {
        if self.turns.len() < 2 {
            return false;
        }
        let oldest = self.turns.remove(0);
        let (instructions, gone): (Vec<_>, Vec<_>) = oldest.into_iter().partition(is_instruction);
        self.left_out += gone.len();
        self.instructions.extend(instructions);
        true
    }

    /// Leaves out turns that together have about so large a share of the whole, at least one.
    pub fn drop_share(&mut self, share: f64) -> bool {
        let weight = |turn: &Vec<Message>| turn.iter().map(weight_of).sum::<usize>();
        let total: usize = self.turns.iter().map(weight).sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a length in memory; the estimate need not be exact"
        )]
        let wanted = (total as f64 * share.clamp(0.0, 1.0)) as usize;
        let mut dropped = 0;
        let mut any = false;
        while !any || dropped < wanted {
            dropped += self.turns.first().map(weight).unwrap_or_default();
            if !self.drop_oldest() {
                return any;
            }
            any = true;
        }
        any
    }

    /// How many messages were left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// What is left, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.instructions.iter().chain(self.turns.iter().flatten()).cloned().collect()
    }
}

/// Whether a message says how to answer, and not what.
pub fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// About how long a message is, in bytes.
fn weight_of(message: &Message) -> usize {
    use openapi::message::{Content, Part};
    const FRAME: usize = 16;
    let content = match &message.content {
        None => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::Parts(parts)) => parts
            .iter()
            .map(|part| match part {
                Part::Text { text } => text.len(),
                Part::Refusal { refusal } => refusal.len(),
                _ => 0,
            })
            .sum(),
    };
    let calls = message.tool_calls.iter().flatten();
    FRAME
        + content
        + calls.map(|call| call.function.arguments.len() + call.function.name.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use openapi::message::Content;
    use proptest::prelude::*;

    use super::*;

    fn said(role: Role, text: &str) -> Message {
        Message {
            role,
            content: Some(Content::Text(text.to_owned())),
            name: None,
            tool_calls: None,
            tool_call_id: (role == Role::Tool).then(|| "call".to_owned()),
            refusal: None,
            reasoning_content: None,
        }
    }

    fn texts(turns: &Window) -> Vec<String> {
        turns
            .messages()
            .iter()
            .map(|message| match &message.content {
                Some(Content::Text(text)) => text.clone(),
                _ => String::new(),
            })
            .collect()
    }

    #[test]
    fn the_oldest_turn_goes_first_and_the_instructions_stay() {
        let mut turns = Window::of(vec![
            said(Role::System, "s"),
            said(Role::User, "1"),
            said(Role::Assistant, "a"),
            said(Role::User, "2"),
            said(Role::Assistant, "b"),
            said(Role::User, "3"),
        ]);
        assert!(turns.drop_oldest());
        assert_eq!(texts(&turns), ["s", "2", "b", "3"]);
        assert!(turns.drop_oldest());
        assert_eq!(texts(&turns), ["s", "3"]);
        assert!(!turns.drop_oldest());
        assert_eq!(turns.left_out(), 4);
    }

    #[test]
    fn a_call_and_its_result_go_together() {
        let mut turns = Window::of(vec![
            said(Role::User, "1"),
            said(Role::Assistant, "call"),
            said(Role::Tool, "result"),
            said(Role::Assistant, "a"),
            said(Role::User, "2"),
            said(Role::Assistant, "call2"),
            said(Role::Tool, "result2"),
        ]);
        assert!(turns.drop_oldest());
        assert_eq!(texts(&turns), ["2", "call2", "result2"]);
        assert!(!turns.drop_oldest());
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_instructions_and_the_end_of_the_rest(
            roles in prop::collection::vec(prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]), 0..20),
            share in 0.0_f64..1.0,
        ) {
            let all: Vec<Message> =
                roles.iter().enumerate().map(|(place, role)| said(*role, &place.to_string())).collect();
            let mut turns = Window::of(all.clone());
            let more = turns.drop_share(share);
            let left = turns.messages();
            prop_assert_eq!(left.len() + turns.left_out(), all.len());
            let rest = |messages: &[Message]| -> Vec<Message> {
                messages.iter().filter(|message| message.role != Role::System).cloned().collect()
            };
            let (all_rest, left_rest) = (rest(&all), rest(&left));
            prop_assert!(all_rest.ends_with(&left_rest));
            let system = |messages: &[Message]| messages.len() - rest(messages).len();
            prop_assert_eq!(system(&all), system(&left));
            prop_assert!(more || turns.left_out() == 0);
            if more && left_rest.len() < all_rest.len() {
                prop_assert!(left_rest.first().is_some_and(|first| first.role == Role::User));
            }
        }
    }
}
