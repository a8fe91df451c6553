//! What a GGUF file says of its model before it is loaded: its metadata, without the weights.
//!
//! llama.cpp's own reader aborts the process where a key has another type than the caller expects; this one reads
//! whole numbers of any width and leaves out what it does not need.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// The longest name or text that is kept, bytes: templates are longer, and not needed here.
const LONGEST_TEXT: u64 = 4096;
/// The longest list of numbers that is kept: one a layer.
const LONGEST_LIST: u64 = 4096;
/// The kind of single-precision numbers.
const REAL: u32 = 6;
/// More entries no model has: the file is damaged.
const MOST_ENTRIES: u64 = 1 << 16;

/// A value, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
    /// A number that need not be whole; its value is not of use.
    Real,
    /// Its length, and its numbers where they are whole and few.
    List(u64, Vec<u64>),
    Other,
}

/// The metadata of a GGUF file.
#[derive(Debug, Default)]
pub(super) struct Header(HashMap<String, Value>);

impl Header {
    /// Reads the beginning of a file.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Self::parse(&mut BufReader::with_capacity(1 << 16, File::open(path)?))
    }

    fn parse(from: &mut impl Read) -> io::Result<Self> {
        if take::<4>(from)? != *b"GGUF" || u32::from_le_bytes(take(from)?) < 2 {
            return Err(damaged());
        }
        let _tensors = word(from)?;
        let entries = word(from)?;
        if entries > MOST_ENTRIES {
            return Err(damaged());
        }
        let mut values = HashMap::new();
        for _ in 0..entries {
            let name = text(from)?.ok_or_else(damaged)?;
            let kind = u32::from_le_bytes(take(from)?);
            values.insert(name, value(from, kind)?);
        }
        Ok(Self(values))
    }

    /// A text, such as `general.architecture`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a key is there and is no single-precision number.
    pub(super) fn is_other_than_real(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| *value != Value::Real)
    }

    /// A whole number of the model's architecture, such as `context_length`.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.of_architecture(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A number for each layer, which the file may say once for all of them.
    pub(super) fn of_layer(&self, key: &str, layer: usize) -> Option<u64> {
        match self.of_architecture(key)? {
            Value::Number(number) => Some(*number),
            Value::List(_, numbers) => numbers.get(layer).copied(),
            _ => None,
        }
    }

    /// How long a list is, such as `tokenizer.ggml.tokens`.
    pub(super) fn length(&self, key: &str) -> Option<u64> {
        match self.0.get(key)? {
            Value::List(length, _) => Some(*length),
            _ => None,
        }
    }

    fn of_architecture(&self, key: &str) -> Option<&Value> {
        self.0.get(&format!("{}.{key}", self.text("general.architecture")?))
    }
}

fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "its metadata is damaged, or of a version that is not known")
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn word(from: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_le_bytes(take(from)?))
}

fn skip(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut from.by_ref().take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// A text; none where it is longer than is kept.
fn text(from: &mut impl Read) -> io::Result<Option<String>> {
    let length = word(from)?;
    if length > LONGEST_TEXT {
        skip(from, length)?;
        return Ok(None);
    }
    let mut bytes = Vec::new();
    from.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A whole number that is not negative; none for other kinds.
fn number(from: &mut impl Read, kind: u32) -> io::Result<Option<u64>> {
    Ok(match kind {
        0 => Some(u64::from(u8::from_le_bytes(take(from)?))),
        1 => u64::try_from(i8::from_le_bytes(take(from)?)).ok(),
        2 => Some(u64::from(u16::from_le_bytes(take(from)?))),
        3 => u64::try_from(i16::from_le_bytes(take(from)?)).ok(),
        4 => Some(u64::from(u32::from_le_bytes(take(from)?))),
        5 => u64::try_from(i32::from_le_bytes(take(from)?)).ok(),
        10 => Some(word(from)?),
        11 => u64::try_from(i64::from_le_bytes(take(from)?)).ok(),
        // A truth, and numbers that are not whole.
        7 => skip(from, 1).map(|()| None)?,
        REAL => skip(from, 4).map(|()| None)?,
        12 => skip(from, 8).map(|()| None)?,
        _ => return Err(damaged()),
    })
}

fn value(from: &mut impl Read, kind: u32) -> io::Result<Value> {
    match kind {
        8 => Ok(text(from)?.map_or(Value::Other, Value::Text)),
        9 => list(from),
        REAL => skip(from, 4).map(|()| Value::Real),
        kind => Ok(number(from, kind)?.map_or(Value::Other, Value::Number)),
    }
}

fn list(from: &mut impl Read) -> io::Result<Value> {
    let kind = u32::from_le_bytes(take(from)?);
    let length = word(from)?;
    let mut numbers = Vec::new();
    for _ in 0..length {
        match kind {
            8 => {
                let bytes = word(from)?;
                skip(from, bytes)?;
            }
            kind => {
                let number = number(from, kind)?.filter(|_| length <= LONGEST_LIST);
                numbers.extend(number);
            }
        }
    }
    Ok(Value::List(length, numbers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn entry(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [string(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
    }

    fn file(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((entries.len() as u64).to_le_bytes());
        bytes.extend(entries.concat());
        bytes
    }

    fn sample() -> Vec<u8> {
        let heads =
            [5_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec(), vec![3, 0, 0, 0, 9, 0, 0, 0]];
        let tokens = [8_u32.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec(), string("a"), string("bc")];
        file(&[
            entry("general.architecture", 8, &string("llama")),
            entry("llama.context_length", 4, &2048_u32.to_le_bytes()),
            entry("llama.rope.freq_base", 6, &1.0_f32.to_le_bytes()),
            entry("llama.attention.head_count_kv", 9, &heads.concat()),
            entry("tokenizer.ggml.tokens", 9, &tokens.concat()),
            entry("tokenizer.chat_template", 8, &string(&"x".repeat(5000))),
        ])
    }

    #[test]
    fn what_is_asked_for_is_read_whatever_stands_between() {
        let header = Header::parse(&mut sample().as_slice()).unwrap();
        assert_eq!(header.text("general.architecture"), Some("llama"));
        assert_eq!(header.number("context_length"), Some(2048));
        assert_eq!(header.of_layer("attention.head_count_kv", 1), Some(9));
        assert_eq!(header.of_layer("attention.head_count_kv", 2), None);
        assert_eq!(header.of_layer("context_length", 7), Some(2048));
        assert_eq!(header.length("tokenizer.ggml.tokens"), Some(2));
        assert_eq!(header.text("tokenizer.chat_template"), None);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(Header::parse(&mut &whole[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..400_usize) {
            let mut whole = sample();
            let at = at.min(whole.len());
            whole.splice(at.., bytes);
            drop(Header::parse(&mut whole.as_slice()));
        }
    }
}
