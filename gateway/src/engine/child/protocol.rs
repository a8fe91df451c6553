//! What a gateway and its worker say to each other beside OpenAI's protocol, as JSON over the worker's socket.

use serde::{Deserialize, Serialize};

use crate::engine::{EngineError, EngineLoad, TokenPiece};

/// `/v1/worker/chat` and `/v1/worker/completion`: what the request of that operation comes to, without beginning it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// It can be answered.
    Fits {
        /// Tokens of the prompt.
        prompt: u32,
        /// The most that all choices together may generate.
        output: u32,
    },
    /// It does not fit the window.
    TooLong {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens asked for, where the request said so.
        output: Option<u32>,
        /// The window.
        window: u32,
    },
    /// The model cannot do it.
    Unsupported(String),
}

impl Counted {
    /// What an engine's refusal is to the other side; one that every server has is left to the envelope.
    pub fn refused(error: EngineError) -> Result<Self, EngineError> {
        match error {
            EngineError::ContextLength { prompt, output, window } => {
                Ok(Self::TooLong { prompt, output, window })
            }
            EngineError::Unsupported(message) => Ok(Self::Unsupported(message)),
            error => Err(error),
        }
    }

    /// Tokens of the prompt and the most that may be generated, or the refusal.
    pub fn fits(self) -> Result<(u32, u32), EngineError> {
        match self {
            Self::Fits { prompt, output } => Ok((prompt, output)),
            Self::TooLong { prompt, output, window } => {
                Err(EngineError::ContextLength { prompt, output, window })
            }
            Self::Unsupported(message) => Err(EngineError::Unsupported(message)),
        }
    }
}

/// `/v1/worker/load`: how busy the model is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Busy {
    running: u32,
    waiting: u32,
    kv_used_ratio: f64,
}

impl From<EngineLoad> for Busy {
    fn from(load: EngineLoad) -> Self {
        let EngineLoad { running, waiting, kv_used_ratio, .. } = load;
        Self { running, waiting, kv_used_ratio }
    }
}

impl From<Busy> for EngineLoad {
    fn from(Busy { running, waiting, kv_used_ratio }: Busy) -> Self {
        Self { ready: true, running, waiting, kv_used_ratio }
    }
}

/// `/v1/worker/tokens`: a token and its bytes, which need not be text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Piece(u32, Vec<u8>);

impl From<TokenPiece> for Piece {
    fn from(TokenPiece { id, bytes }: TokenPiece) -> Self {
        Self(id, bytes)
    }
}

impl From<Piece> for TokenPiece {
    fn from(Piece(id, bytes): Piece) -> Self {
        Self { id, bytes }
    }
}
