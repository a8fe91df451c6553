//! `<data folder>/gateway.addr`: the address in use, for scripts that let the system choose the port.

use std::path::{Path, PathBuf};

use gateway::config::ListenAddress;

/// The file, removed when the process ends in order.
pub(super) struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes the file in one step: whoever sees it sees the whole address.
    pub(super) fn write(data_dir: &Path, address: &ListenAddress) -> std::io::Result<Self> {
        let path = data_dir.join("gateway.addr");
        let partial = data_dir.join(".gateway.addr.partial");
        std::fs::write(&partial, format!("{address}\n"))?;
        std::fs::rename(&partial, &path)?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Gone already: then somebody else tidied up.
        drop(std::fs::remove_file(&self.0));
    }
}
