//! How many tokens a prompt may have, where the tokenizer is elsewhere: told from its text, settled by the real count.
//!
//! A token of English is four letters and more, of other scripts one character or two. A token is at least one byte in
//! every tokenizer that falls back to bytes, so no prompt has more tokens than bytes, and what marks its messages.

use openapi::message::{Content, Message, Part};

use crate::engine::{EmbeddingInput, Prompt, TokenCount};

/// Bytes of plain letters that are one token; fewer than there are, so that admission is on the safe side.
const LETTERS_A_TOKEN: usize = 3;
/// What a template puts around a message.
const AROUND_A_MESSAGE: usize = 8;
/// An image, as OpenAI counts one of ordinary size.
const ATTACHMENT: usize = 800;

/// The length of a prompt: exact where it is tokens.
pub fn prompt(prompt: &Prompt) -> TokenCount {
    match prompt {
        Prompt::Tokens(tokens) => TokenCount::Exact(saturated(tokens.len())),
        Prompt::Text(text) => TokenCount::Estimate(saturated(tokens_of(text))),
        Prompt::Chat(chat) => {
            let tools = chat.tools.iter().map(|tool| {
                let parameters = tool.function.parameters.as_ref().map(ToString::to_string);
                AROUND_A_MESSAGE
                    + tokens_of(&tool.function.name)
                    + tokens_of(tool.function.description.as_deref().unwrap_or_default())
                    + tokens_of(parameters.as_deref().unwrap_or_default())
            });
            let messages = chat.messages.iter().map(message);
            TokenCount::Estimate(saturated(tools.chain(messages).sum()))
        }
    }
}

/// The length of a text to embed.
pub fn input(input: &EmbeddingInput) -> u32 {
    saturated(match input {
        EmbeddingInput::Text(text) => tokens_of(text),
        EmbeddingInput::Tokens(tokens) => tokens.len(),
    })
}

fn message(message: &Message) -> usize {
    let said = match &message.content {
        None => 0,
        Some(Content::Text(text)) => tokens_of(text),
        Some(Content::Parts(parts)) => parts.iter().map(part).sum(),
    };
    let calls = message.tool_calls.iter().flatten();
    let called: usize = calls
        .map(|call| AROUND_A_MESSAGE + tokens_of(&call.function.name) + tokens_of(&call.function.arguments))
        .sum();
    let more = [&message.name, &message.refusal, &message.reasoning_content];
    let more: usize = more.into_iter().flatten().map(|text| tokens_of(text)).sum();
    AROUND_A_MESSAGE + said + called + more
}

fn part(part: &Part) -> usize {
    match part {
        Part::Text { text } => tokens_of(text),
        Part::Refusal { refusal } => tokens_of(refusal),
        Part::ImageUrl { .. } | Part::InputAudio { .. } | Part::File { .. } => ATTACHMENT,
    }
}

fn tokens_of(text: &str) -> usize {
    let letters = text.bytes().filter(u8::is_ascii).count();
    // Two bytes of another script, as most vocabularies have it.
    letters.div_ceil(LETTERS_A_TOKEN) + (text.len() - letters).div_ceil(2)
}

fn saturated(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::upstream::body::tests::ask;

    fn estimate(text: &str) -> u32 {
        match prompt(&ask(text).prompt) {
            TokenCount::Estimate(tokens) => tokens,
            TokenCount::Exact(_) => panic!("a guess is no count"),
        }
    }

    #[test]
    fn tokens_are_counted_and_texts_are_guessed() {
        assert_eq!(prompt(&Prompt::Tokens(vec![1, 2])), TokenCount::Exact(2));
        // 44 letters, which are 9 tokens to most vocabularies.
        assert_eq!(estimate("The quick brown fox jumps over the lazy dog."), 8 + 15);
    }

    proptest! {
        #[test]
        fn no_guess_is_above_the_bytes_and_none_far_below(text in any::<String>()) {
            let tokens = estimate(&text) as usize;
            prop_assert!(tokens <= text.len() + AROUND_A_MESSAGE);
            prop_assert!(tokens >= text.len() / LETTERS_A_TOKEN);
        }
    }
}
