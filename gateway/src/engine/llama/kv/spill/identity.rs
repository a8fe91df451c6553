//! What makes a state one model's and no other's: the file it was computed from, and how.
//!
//! The whole file is not hashed, which would take as long as loading it. Its beginning is (metadata, vocabulary, names
//! and shapes of the tensors), with samples of the weights from its whole length, its length and its time of change:
//! a fine-tuned file differs in nearly all weights, one that was written anew in its time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::engine::llama::context::ContextSettings;

/// llama.cpp, whose format of a state is its own matter. A test holds this to the versions in the manifest.
const LLAMA: [&str; 2] = ["llama-cpp-2 =0.1.160", "llama-cpp-sys-2 =0.1.161"];
/// Hashed from the beginning.
const HEAD: u64 = 8 << 20;
/// Places in the rest of the file.
const SAMPLES: u64 = 64;
/// Bytes hashed at each of them.
const SAMPLE: u64 = 64 << 10;

/// A hash of a model's file and of the settings that shape its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// Of a GGUF file, all parts of it, as a context is made from it.
    pub(crate) fn of(model: &Path, settings: &ContextSettings) -> io::Result<Self> {
        let mut digest = Sha256::new();
        let layout = if settings.limits.unified { "unified" } else { "split" };
        digest.update(format!(
            "{LLAMA:?} {:?} {:?} {layout} {}\n",
            settings.kv_type,
            settings.flash_attention,
            std::env::consts::ARCH
        ));
        for part in parts(model) {
            add_file(&mut digest, &part)?;
        }
        Ok(Self(digest.finalize().into()))
    }

    /// Its name as a folder.
    pub(super) fn folder(&self) -> String {
        let (beginning, _rest) = self.0.as_chunks::<16>();
        beginning.first().map_or_else(String::new, |half| format!("{:032x}", u128::from_be_bytes(*half)))
    }
}

fn add_file(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let length = about.len();
    let changed = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    digest.update(length.to_le_bytes());
    digest.update(changed.to_le_bytes());
    add_range(digest, &file, 0, HEAD.min(length))?;
    let rest = length.saturating_sub(HEAD);
    for sample in 0..SAMPLES {
        let offset = HEAD + rest / SAMPLES * sample;
        if offset < length {
            add_range(digest, &file, offset, SAMPLE.min(length - offset))?;
        }
    }
    let end = length.saturating_sub(SAMPLE);
    add_range(digest, &file, end, length - end)
}

fn add_range(digest: &mut Sha256, file: &File, mut offset: u64, length: u64) -> io::Result<()> {
    let end = offset + length;
    let mut buffer = vec![0; usize::try_from(length.min(SAMPLE)).unwrap_or(0)];
    while offset < end {
        let wanted = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let Some(piece) = buffer.get_mut(..wanted) else { return Err(io::ErrorKind::InvalidInput.into()) };
        file.read_exact_at(piece, offset)?;
        digest.update(&*piece);
        offset += wanted as u64;
    }
    Ok(())
}

/// The files of a model: llama.cpp loads `x-00002-of-00003.gguf` and so on by itself when given the first.
pub(crate) fn parts(model: &Path) -> Vec<PathBuf> {
    let siblings = || {
        let name = model.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let stem = rest.strip_suffix("-00001")?;
        let total: u32 = (count.len() == 5).then(|| count.parse().ok()).flatten()?;
        let part = |number| model.with_file_name(format!("{stem}-{number:05}-of-{count}.gguf"));
        (total > 0).then(|| (1..=total).map(part).collect())
    };
    siblings().unwrap_or_else(|| vec![model.to_owned()])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{FlashAttention, KvType};
    use crate::engine::llama::compute::Limits;

    fn settings() -> ContextSettings {
        ContextSettings {
            limits: Limits { slots: 2, window: 128, batch: 128, cells: 256, unified: false },
            kv_type: KvType::F16,
            flash_attention: FlashAttention::Auto,
            threads: 1,
            batch_threads: 1,
            adapter: None,
        }
    }

    fn of(path: &Path, settings: &ContextSettings) -> Identity {
        Identity::of(path, settings).unwrap()
    }

    fn write(path: &Path, bytes: &[u8]) {
        let mut file = File::create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
    }

    #[test]
    fn other_weights_of_the_same_shape_and_time_are_another_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let head = usize::try_from(HEAD).unwrap();
        let mut bytes = vec![7; head + 40 * 65_536];
        write(&path, &bytes);
        let first = of(&path, &settings());
        assert_eq!(of(&path, &settings()), first);
        for byte in bytes.iter_mut().skip(head).step_by(1000) {
            *byte = 8;
        }
        write(&path, &bytes);
        assert_ne!(of(&path, &settings()), first);
    }

    #[test]
    fn what_shapes_a_state_is_part_of_it_and_what_does_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        write(&path, b"GGUF");
        let first = of(&path, &settings());
        assert_ne!(of(&path, &ContextSettings { kv_type: KvType::Q8_0, ..settings() }), first);
        assert_ne!(of(&path, &ContextSettings { flash_attention: FlashAttention::Off, ..settings() }), first);
        let unified = Limits { unified: true, ..settings().limits };
        assert_ne!(of(&path, &ContextSettings { limits: unified, ..settings() }), first);
        assert_eq!(of(&path, &ContextSettings { threads: 9, ..settings() }), first);
    }

    #[test]
    fn all_parts_of_a_split_file_count() {
        let names = parts(Path::new("/m/a-00001-of-00003.gguf"));
        let expected = ["/m/a-00001-of-00003.gguf", "/m/a-00002-of-00003.gguf", "/m/a-00003-of-00003.gguf"];
        assert_eq!(names, expected.map(PathBuf::from));
        assert_eq!(parts(Path::new("/m/a.gguf")), [PathBuf::from("/m/a.gguf")]);
    }

    #[test]
    fn the_versions_are_the_manifests() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        for pinned in LLAMA {
            let (name, version) = pinned.split_once(' ').unwrap();
            let mut lines = manifest.lines().filter(|line| line.starts_with(&format!("{name} = ")));
            let line = lines.next().expect("it is in the manifest");
            assert!(line.contains(&format!("\"{version}\"")), "another one may write another state: {line}");
        }
    }
}
