//! Where the test model is, and damaged copies of it.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::patience::variable;

/// The file name of the default model.
pub const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// `<|im_end|>`, with which the default model ends an answer.
pub const END_OF_TURN: u32 = 2;

/// `<|endoftext|>` of the default model.
pub const END_OF_TEXT: u32 = 0;

/// The model the tests run: `SLUICE_TEST_MODEL`, or the default model where `./run` and `./test` put it.
pub fn path() -> PathBuf {
    if let Some(path) = variable("SLUICE_TEST_MODEL") {
        return PathBuf::from(path);
    }
    let root = repository();
    for folder in ["data/models", ".cache/models", ".cache"] {
        let path = root.join(folder).join(FILE);
        if path.is_file() {
            return path;
        }
    }
    panic!("no test model: put {FILE} into data/models (./test does) or set SLUICE_TEST_MODEL to a GGUF file")
}

/// The first `bytes` of the test model, as an interrupted download leaves it.
pub fn truncated(folder: &Path, bytes: u64) -> PathBuf {
    let copy = folder.join("truncated.gguf");
    let file = std::fs::File::open(path()).expect("the model opens");
    let mut head = Vec::new();
    file.take(bytes).read_to_end(&mut head).expect("the model reads");
    std::fs::write(&copy, head).expect("the copy is written");
    copy
}

/// The test model's head with the bytes from `offset` overwritten.
pub fn corrupt(folder: &Path, offset: usize, bytes: &[u8]) -> PathBuf {
    let copy = folder.join("corrupt.gguf");
    let mut content = std::fs::read(path()).expect("the model reads");
    let damaged = content.get_mut(offset..offset + bytes.len()).expect("the offset lies in the file");
    damaged.copy_from_slice(bytes);
    std::fs::write(&copy, content).expect("the copy is written");
    copy
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("the crate lies in the repository").to_owned()
}
