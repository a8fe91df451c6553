//! `gateway token issue|inspect|revoke|rotate`.

use std::io::Read;
use std::time::Duration;

use clap::{Args, Subcommand};
use openapi::admin::tokens::{NewToken, RotateRequest};

use super::folder::Folder;
use super::key::duration;
use super::office::Office;
use super::{Failure, show};

/// What to do with tokens; a running gateway is asked to do it, and knows at once.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token; it is all of standard output, and kept nowhere.
    Issue(Issue),
    /// Say what a token is worth now, as JSON; it is read from standard input, where no list of processes shows it.
    Inspect(Folder),
    /// Revoke a token, at once and for good.
    Revoke(Revoke),
    /// Sign with a new key from now on.
    Rotate(Rotate),
}

/// The token to make.
#[derive(Args)]
pub(super) struct Issue {
    /// Whom it stands for
    #[arg(long)]
    subject: String,
    /// The role it claims, for a subject without a record
    #[arg(long)]
    role: Option<String>,
    /// For people; whoever holds the token can read it
    #[arg(long)]
    note: Option<String>,
    /// When it ends, from now (`12h`, `30m`, seconds); an hour, if not said
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    folder: Folder,
}

/// The token to revoke.
#[derive(Args)]
pub(super) struct Revoke {
    /// The token's id, as `token issue` and `token inspect` say it
    jti: String,
    #[command(flatten)]
    folder: Folder,
}

/// The rotation.
#[derive(Args)]
pub(super) struct Rotate {
    /// How long tokens of the old key stay valid (`0s` after a leak); as long as a token may live, if not said
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    overlap: Option<Duration>,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let office = |folder: &Folder| Office::open(&folder.config()?);
    match command {
        Command::Issue(issue) => {
            let made = office(&issue.folder)?.create_token(NewToken {
                subject: issue.subject.clone(),
                role: issue.role.clone(),
                note: issue.note.clone(),
                expires_in: issue.expires_in.map(|duration| duration.as_secs()),
            })?;
            eprintln!("the token {} of {} is shown this once:", made.jti, issue.subject);
            println!("{}", made.token);
        }
        Command::Inspect(folder) => {
            let mut token = String::new();
            std::io::stdin().read_to_string(&mut token).map_err(Failure::new)?;
            let state = office(folder)?.inspect_token(token.trim().to_owned())?;
            let text = serde_json::to_string_pretty(&state).map_err(Failure::new)?;
            show(&format!("{text}\n"))?;
        }
        Command::Revoke(revoke) => {
            office(&revoke.folder)?.revoke_token(&revoke.jti)?;
            eprintln!("the token {} is revoked", revoke.jti);
        }
        Command::Rotate(rotate) => {
            let request = RotateRequest { overlap: rotate.overlap.map(|duration| duration.as_secs()) };
            let rotated = office(&rotate.folder)?.rotate(&request)?;
            eprintln!("the key {} signs from now on", rotated.kid);
        }
    }
    Ok(())
}
