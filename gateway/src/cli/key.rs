//! `gateway key create|list|revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};
use gateway::config::parse_duration;
use openapi::admin::keys::{Key, NewKey};

use super::Failure;
use super::folder::Folder;
use super::office::Office;

/// What to do with keys; a running gateway is asked to do it, and knows at once.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key; its secret, shown this once, is all of standard output.
    Create(Create),
    /// List the keys, without their secrets.
    List(Folder),
    /// Revoke a key, at once and for good.
    Revoke(Revoke),
}

/// The key to make.
#[derive(Args)]
pub(super) struct Create {
    /// Whom it stands for
    #[arg(long)]
    subject: String,
    /// Makes the subject with this role if there is none
    #[arg(long)]
    role: Option<String>,
    /// For people
    #[arg(long, default_value = "")]
    note: String,
    /// When it ends, from now (`12h`, `30m`, seconds); never, if not said
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    folder: Folder,
}

/// The key to revoke.
#[derive(Args)]
pub(super) struct Revoke {
    /// The key's id, as `key list` shows it
    id: String,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "must be such as 12h, 30m or a number of seconds".to_owned())
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let office = |folder: &Folder| Office::open(&folder.config()?);
    match command {
        Command::Create(create) => {
            let made = office(&create.folder)?.create_key(NewKey {
                subject: create.subject.clone(),
                role: create.role.clone(),
                note: create.note.clone(),
                expires_in: create.expires_in.map(|duration| duration.as_secs()),
            })?;
            eprintln!("the key {} of {} is shown this once:", made.key.id, made.key.subject);
            println!("{}", made.secret);
        }
        Command::List(folder) => {
            for key in office(folder)?.list()? {
                println!("{}", line(&key));
            }
        }
        Command::Revoke(revoke) => {
            let key = office(&revoke.folder)?.revoke_key(&revoke.id)?;
            eprintln!("the key {} of {} is revoked", key.id, key.subject);
        }
    }
    Ok(())
}

fn line(key: &Key) -> String {
    let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
    format!("{}  {}…  {:<8} {:<24} {}", key.id, key.prefix, state, key.subject, key.note)
}
