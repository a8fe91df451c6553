//! The model's tokens as plain data, read once at load: bytes by id, which are special, which end a generation.

/// What the house needs to know of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenEntry {
    /// The bytes it adds to the output; for a special token its written form, such as `<|im_end|>`.
    pub bytes: Vec<u8>,
    /// A control or user-defined special token: part of the output only where marks are read.
    pub special: bool,
    /// Ends a generation.
    pub end_of_generation: bool,
}

/// All tokens of a model, in one allocation for their bytes.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// `ends[i]` is where token `i`'s bytes end; they begin where the previous token's end.
    ends: Vec<u32>,
    flags: Vec<u8>,
    end_of_generation: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
}

const SPECIAL: u8 = 1;
const END_OF_GENERATION: u8 = 2;

impl Vocabulary {
    /// Collects the tokens in the order of their ids.
    pub fn new(entries: impl IntoIterator<Item = TokenEntry>, bos: Option<u32>, eos: Option<u32>) -> Self {
        let mut vocabulary = Self { bos, eos, ..Self::default() };
        for (id, entry) in (0_u32..).zip(entries) {
            vocabulary.bytes.extend_from_slice(&entry.bytes);
            vocabulary.ends.push(u32::try_from(vocabulary.bytes.len()).unwrap_or(u32::MAX));
            let special = if entry.special { SPECIAL } else { 0 };
            let ends = if entry.end_of_generation { END_OF_GENERATION } else { 0 };
            vocabulary.flags.push(special | ends);
            if entry.end_of_generation {
                vocabulary.end_of_generation.push(id);
            }
        }
        vocabulary
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A token's bytes; empty for an id the model does not have.
    pub fn bytes(&self, token: u32) -> &[u8] {
        let id = token as usize;
        let start = id.checked_sub(1).and_then(|previous| self.ends.get(previous)).copied().unwrap_or(0);
        let end = self.ends.get(id).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Whether the id is one of the model's.
    pub fn contains(&self, token: u32) -> bool {
        (token as usize) < self.ends.len()
    }

    /// Whether the token is special: control or user-defined.
    pub fn is_special(&self, token: u32) -> bool {
        self.has(token, SPECIAL)
    }

    /// The written forms of the special tokens.
    pub fn control_spellings(&self) -> impl Iterator<Item = &str> {
        let ids = 0..u32::try_from(self.len()).unwrap_or(u32::MAX);
        ids.filter(|id| self.is_special(*id)).filter_map(|id| std::str::from_utf8(self.bytes(id)).ok())
    }

    /// Whether the token ends a generation.
    pub fn is_end_of_generation(&self, token: u32) -> bool {
        self.has(token, END_OF_GENERATION)
    }

    /// All tokens that end a generation.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.end_of_generation
    }

    /// The begin-of-text token, where the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The end-of-text token, where the model has one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    fn has(&self, token: u32, flag: u8) -> bool {
        self.flags.get(token as usize).is_some_and(|flags| flags & flag != 0)
    }
}
