//! Names and number of files that follow one another in a folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::row::Time;

/// So many names are tried: another process may write in the same folder.
const TRIES: u32 = 1000;
const NANOS: u64 = 1_000_000;

/// Files of one kind in a folder, named so that their names sort by time.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// Tells those of one process from those of another in the same place.
    tag: String,
    suffix: &'static str,
    most: usize,
    /// Unix milliseconds of the newest name: a clock that is set back does not mix names up.
    newest: u64,
}

impl Files {
    /// At most `most` files stay, the newest.
    pub(super) fn new(folder: PathBuf, tag: String, suffix: &'static str, most: usize) -> Self {
        Self { folder, tag, suffix, most: most.max(1), newest: 0 }
    }

    /// The next name, behind all that were given.
    pub(super) fn name(&mut self, now: SystemTime) -> String {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
        self.newest = u64::try_from(now).unwrap_or(u64::MAX).max(self.newest.saturating_add(1));
        let time = Time(self.newest.saturating_mul(NANOS));
        let ((year, month, date, second), milli) = (time.parts(), self.newest % 1000);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let (tag, suffix) = (&self.tag, self.suffix);
        format!(
            "requests-{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}.{milli:03}Z{tag}{suffix}"
        )
    }

    /// Makes the next file, and the folder where there is none; the oldest leave. Only this user reads them.
    pub(super) fn create(&mut self, now: SystemTime) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut made = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..TRIES {
            let name = self.name(now);
            made = options.open(self.folder.join(name));
            if !matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        let made = made?;
        self.trim();
        Ok(made)
    }

    /// The oldest leave beyond the bound. What cannot be removed stays, and is tried again with the next file.
    pub(super) fn trim(&self) {
        let Ok(listed) = std::fs::read_dir(&self.folder) else { return };
        let names = listed.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> =
            names.filter(|name| name.starts_with("requests-") && name.ends_with(self.suffix)).collect();
        names.sort_unstable();
        let surplus = names.len().saturating_sub(self.most);
        for name in names.iter().take(surplus) {
            let path = self.folder.join(name);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "an old file of request records cannot be removed");
            }
        }
    }
}
