//! What llama.cpp computes on: found at start, and told to the log.

use std::collections::BTreeSet;

use llama_cpp_2::list_llama_ggml_backend_devices;

/// Loads the kernels where they are libraries of their own and not part of the binary: those beside the binary, or else
/// those where it was built. Of each kind the one that suits this CPU best is kept.
#[cfg(feature = "dynamic-backends")]
pub(super) fn load_kernels() {
    use llama_cpp_2::llama_backend::{load_backends, load_backends_from_path};

    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(ToOwned::to_owned));
    match beside.filter(|folder| folder.to_str().is_some() && holds_kernels(folder)) {
        Some(folder) => load_backends_from_path(&folder),
        None => load_backends(),
    }
}

#[cfg(feature = "dynamic-backends")]
fn holds_kernels(folder: &std::path::Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.into_iter().any(|file| file.file_name().to_str().is_some_and(is_kernels))
}

/// Tells the log each device; an error if there is none, which llama.cpp would tell as a damaged model.
pub(super) fn report() -> Result<(), String> {
    let devices = list_llama_ggml_backend_devices();
    if devices.is_empty() {
        return Err("no library of kernels (libggml-cpu-….so) for this CPU lies beside the binary".to_owned());
    }
    let kernels =
        std::fs::read_to_string("/proc/self/maps").map(|maps| loaded_kernels(&maps)).unwrap_or_default();
    for device in devices {
        tracing::info!(device = device.name, description = device.description, kernels, "can compute on");
    }
    Ok(())
}

/// The libraries of kernels among what is mapped into a process; empty where they are part of the binary.
fn loaded_kernels(maps: &str) -> String {
    let files = maps.lines().filter_map(|line| line.rsplit_once('/').map(|(_, name)| name));
    let kernels: BTreeSet<&str> = files.filter(|name| is_kernels(name)).collect();
    kernels.into_iter().collect::<Vec<_>>().join(" ")
}

fn is_kernels(file: &str) -> bool {
    file.starts_with("libggml-cpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_kernels_are_named_once() {
        let maps = "7f00-7f01 r--p 00000000 fd:00 1  /opt/sluice/libggml-cpu-haswell.so\n\
                    7f01-7f02 r-xp 00001000 fd:00 1  /opt/sluice/libggml-cpu-haswell.so\n\
                    7f02-7f03 r--p 00000000 fd:00 2  /opt/sluice/libggml-base.so.0\n\
                    7f03-7f04 rw-p 00000000 00:00 0\n";
        assert_eq!(loaded_kernels(maps), "libggml-cpu-haswell.so");
        assert_eq!(loaded_kernels(""), "");
    }

    #[test]
    fn there_is_always_something_to_compute_on() {
        assert_eq!(report(), Ok(()));
    }
}
