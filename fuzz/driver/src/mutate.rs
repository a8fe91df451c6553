//! Small damage to inputs, of the kinds that parsers trip over.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// Longest input: longer ones only take time.
const LONGEST: usize = 64 << 10;

/// Pieces that mean something to at least one target.
const WORDS: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"0.1",
    b":",
    b",",
    b"99999999999999999999",
    b"\"role\"",
    b"\"content\"",
    b"\"type\"",
    b"\"tools\"",
    b"\"function\"",
    b"\"parameters\"",
    b"\"properties\"",
    b"\"$ref\":\"#\"",
    b"\"anyOf\"",
    b"\"pattern\":\"(a*)*\"",
    b"\"minItems\":4000000000",
    b"{{",
    b"}}",
    b"{% for x in range(99999999) %}",
    b"{% endfor %}",
    b"{% macro m() %}",
    b"<tool_call>",
    b"</tool_call>",
    b"<think>",
    b"</think>",
    b"[TOOL_CALLS]",
    b"<|python_tag|>",
    b"\xff",
    b"\xf0\x9f",
    b"stop",
];

/// One of the inputs, damaged a few times.
pub fn mutate(random: &mut SmallRng, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut input = pool.choose(random).cloned().unwrap_or_default();
    let times = 1 << random.random_range(0..4);
    for _ in 0..times {
        damage(random, &mut input, pool);
    }
    input.truncate(LONGEST);
    input
}

fn damage(random: &mut SmallRng, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
    let place = random.random_range(0..=input.len());
    let end = random.random_range(place..=input.len().min(place + 64));
    match random.random_range(0..8) {
        0 => {
            if let Some(byte) = input.get_mut(place) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        1 => input.insert(place, (random.next_u32() & 0xff) as u8),
        2 => drop(input.drain(place..end)),
        3 => {
            let piece = input.get(place..end).unwrap_or_default().to_vec();
            let times = 1 << random.random_range(0..10);
            insert(input, place, &piece.repeat(times));
        }
        4 | 5 => {
            let word = WORDS.choose(random).copied().unwrap_or_default();
            insert(input, place, word);
        }
        6 => {
            let word = WORDS.choose(random).copied().unwrap_or_default();
            input.splice(place..end, word.iter().copied());
        }
        _ => {
            let other = pool.choose(random).map(Vec::as_slice).unwrap_or_default();
            let from = random.random_range(0..=other.len());
            input.truncate(place);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}

fn insert(input: &mut Vec<u8>, place: usize, piece: &[u8]) {
    if input.len() + piece.len() <= LONGEST {
        input.splice(place..place, piece.iter().copied());
    }
}
