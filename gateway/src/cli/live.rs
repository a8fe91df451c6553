//! `gateway model status|load|unload|pin|unpin|alias`: by the admin API of the running gateway.

use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use openapi::admin::List;
use openapi::admin::models::{
    Balance, LoadRequest, LoadState, Residency, RouteSpec, RouteTarget, ServedModel, Sticky, TargetState,
};

use super::Failure;
use super::folder::Folder;
use super::office::Remote;

/// Between two looks at a load.
const LOOK: Duration = Duration::from_millis(100);
/// Steps of the bar.
const WHOLE: u64 = 1000;

/// A model of the running gateway.
#[derive(Args)]
pub(super) struct Named {
    /// Its name; with an adapter, `model:adapter`
    name: String,
    #[command(flatten)]
    folder: Folder,
}

/// What to load.
#[derive(Args)]
pub(super) struct Load {
    #[command(flatten)]
    model: Named,
    /// For a name that is not served yet: its file in the data folder, as `model list` shows it
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
}

/// What to unload.
#[derive(Args)]
pub(super) struct Unload {
    #[command(flatten)]
    model: Named,
    /// While it answers: wait until it does not
    #[arg(long)]
    wait: bool,
}

/// A name and what it stands for.
#[derive(Args)]
pub(super) struct Alias {
    /// The name
    name: String,
    /// The model that answers to it
    model: String,
    #[command(flatten)]
    folder: Folder,
}

fn running(folder: &Folder) -> Result<Remote, Failure> {
    let folder = folder.config()?.data_dir;
    Remote::running(&folder)?
        .ok_or_else(|| Failure::new(format!("no gateway runs on the data folder {}", folder.display())))
}

/// A name as it stands in a path.
fn in_path(name: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    name.bytes()
        .map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub(super) fn status(folder: &Folder) -> Result<(), Failure> {
    let served: List<ServedModel> = running(folder)?.call::<(), _>("GET", "models", None)?;
    for model in &served.data {
        for target in &model.targets {
            println!("{}", line(model, target));
        }
    }
    Ok(())
}

fn line(model: &ServedModel, target: &TargetState) -> String {
    let name = if model.route.is_some() {
        format!("{} -> {}", model.name, target.model)
    } else {
        model.name.clone()
    };
    match &target.memory {
        Some(memory) => format!("{name:<44} {}", described(memory)),
        None => format!("{name:<44} {:<9} another server's", if target.healthy { "well" } else { "unwell" }),
    }
}

fn described(memory: &Residency) -> String {
    let bytes = memory.weights_bytes.saturating_add(memory.own_bytes);
    let pinned = if memory.pinned { ", pinned" } else { "" };
    let reason = memory.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "{:<9} {:>10}, {} in use, {} waiting{pinned}{reason}",
        word(memory.state),
        HumanBytes(bytes).to_string(),
        memory.in_use,
        memory.waiting
    )
}

fn word(state: LoadState) -> &'static str {
    match state {
        LoadState::Unloaded => "unloaded",
        LoadState::Queued => "queued",
        LoadState::Loading => "loading",
        LoadState::Ready => "ready",
        LoadState::Draining => "draining",
        LoadState::Unloading => "unloading",
        LoadState::Failed => "failed",
    }
}

pub(super) fn load(load: &Load) -> Result<(), Failure> {
    let (remote, name) = (running(&load.model.folder)?, load.model.name.as_str());
    let request = LoadRequest { file: load.file.clone() };
    let path = format!("models/{}/load", in_path(name));
    let mut memory: Residency = remote.call("POST", &path, Some(&request))?;
    // Draws on standard error, and only on a terminal.
    let bar = ProgressBar::new(WHOLE).with_style(style());
    while !matches!(memory.state, LoadState::Ready | LoadState::Failed | LoadState::Unloaded) {
        bar.set_message(word(memory.state));
        bar.set_position(steps(memory.progress.unwrap_or_default()));
        std::thread::sleep(LOOK);
        memory = look(&remote, name)?;
    }
    bar.finish_and_clear();
    if memory.state == LoadState::Ready {
        println!("{name} {}", described(&memory));
        return Ok(());
    }
    let reason = memory.reason.unwrap_or_else(|| "it was unloaded again".to_owned());
    Err(Failure::new(format!("{name} is not loaded: {reason}")))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
fn steps(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * WHOLE as f64) as u64
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {percent}% {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn look(remote: &Remote, name: &str) -> Result<Residency, Failure> {
    let served: List<ServedModel> = remote.call::<(), _>("GET", "models", None)?;
    let targets = served.data.into_iter().flat_map(|model| model.targets);
    let memory = targets.filter(|target| target.model == name).find_map(|target| target.memory);
    memory.ok_or_else(|| Failure::new(format!("{name} is not served any more")))
}

pub(super) fn unload(unload: &Unload) -> Result<(), Failure> {
    let remote = running(&unload.model.folder)?;
    let path = format!("models/{}/unload?wait={}", in_path(&unload.model.name), unload.wait);
    let memory: Residency = remote.call::<(), _>("POST", &path, None)?;
    println!("{} {}", unload.model.name, described(&memory));
    Ok(())
}

pub(super) fn pin(named: &Named, action: &str) -> Result<(), Failure> {
    let path = format!("models/{}/{action}", in_path(&named.name));
    let memory: Residency = running(&named.folder)?.call::<(), _>("POST", &path, None)?;
    println!("{} {}", named.name, described(&memory));
    Ok(())
}

pub(super) fn alias(alias: &Alias) -> Result<(), Failure> {
    let remote = running(&alias.folder)?;
    let served: List<ServedModel> = remote.call::<(), _>("GET", "models", None)?;
    let before = served.data.iter().find(|model| model.name == alias.name && model.route.is_some());
    let spec = RouteSpec {
        name: alias.name.clone(),
        targets: vec![RouteTarget { model: alias.model.clone(), weight: 1, cap: None }],
        fallback: Vec::new(),
        balance: Balance::Weight,
        sticky: Sticky::None,
        retries: 2,
        shadow: None,
    };
    let path = format!("models/{}", in_path(&alias.name));
    let version = before.map(|route| route.version);
    let made: ServedModel = remote.change("PUT", &path, Some(&spec), version)?;
    for target in &made.targets {
        println!("{} -> {}", made.name, target.model);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_one_part_of_a_path() {
        assert_eq!(in_path("org/model:a b"), "org%2Fmodel:a%20b");
    }
}
