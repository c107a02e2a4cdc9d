//! What broadcaster and moderators say and hear over their WebSocket.
//!
//! In → Out: a text message of at most 4 KiB → a [`Command`]; an [`Output`] that concerns them → a text message.
//! Spec: `docs/ix.md`, "The socket".

use media::{Duration, UnixTime};
use serde::{Deserialize, Serialize};

use super::line::{BeatLine, CommentLine, parse_gate};
use crate::{Action, Actor, CommentId, CommentText, Finding, Output, TextError, ViewerId, Word};

/// Something that a broadcaster or a moderator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A comment of their own.
    Comment(CommentId, Result<CommentText, TextError>, Option<UnixTime>),
    /// A moderation action.
    Moderate(Action),
}

/// Why a message is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// An argument is missing or out of range.
    #[error("`{0}` is missing or out of range")]
    Field(&'static str),
    /// Not JSON, or not an object of this shape.
    #[error("not a command that docs/ix.md describes")]
    Syntax,
    /// More than 4 KiB.
    #[error("longer than 4 KiB")]
    TooLong,
    /// No such command.
    #[error("no such command")]
    Unknown,
}

const COMMAND_MAX: usize = 4 * 1024;
/// The longest mute by hand: a week.
const MUTE_MILLIS_MAX: u64 = 7 * 86_400_000;

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "do")]
    verb: String,
    viewer: Option<String>,
    id: Option<String>,
    t: Option<String>,
    m: Option<u64>,
    ms: Option<u64>,
    gate: Option<String>,
    on: Option<bool>,
    word: Option<String>,
}

/// Parses one message.
pub fn parse_command(message: &[u8]) -> Result<Command, CommandError> {
    if message.len() > COMMAND_MAX {
        return Err(CommandError::TooLong);
    }
    let raw: Raw = serde_json::from_slice(message).map_err(|_| CommandError::Syntax)?;
    let viewer = || {
        raw.viewer
            .as_deref()
            .and_then(ViewerId::parse)
            .ok_or(CommandError::Field("viewer"))
    };
    let id = || {
        raw.id
            .as_deref()
            .and_then(CommentId::parse)
            .ok_or(CommandError::Field("id"))
    };
    let word = || {
        raw.word
            .as_deref()
            .and_then(Word::parse)
            .ok_or(CommandError::Field("word"))
    };
    let millis = |max: u64| {
        raw.ms
            .filter(|ms| *ms <= max)
            .map(Duration::from_millis)
            .ok_or(CommandError::Field("ms"))
    };
    let action = match raw.verb.as_str() {
        "appoint" => Action::Appoint(viewer()?),
        "approve" => Action::Approve(viewer()?),
        "block" => Action::Block(viewer()?),
        "comment" => {
            let text = raw.t.as_deref().ok_or(CommandError::Field("t"))?;
            return Ok(Command::Comment(
                id()?,
                CommentText::parse(text),
                raw.m.map(UnixTime::from_millis),
            ));
        }
        "delete" => Action::Delete(id()?),
        "dismiss" => Action::Dismiss(viewer()?),
        "forbid" => Action::Forbid(word()?),
        "gate" => Action::SetGate(
            raw.gate
                .as_deref()
                .and_then(parse_gate)
                .ok_or(CommandError::Field("gate"))?,
        ),
        "jury" => Action::SetJury(raw.on.ok_or(CommandError::Field("on"))?),
        "mute" => Action::Mute(viewer()?, millis(MUTE_MILLIS_MAX)?),
        "permit" => Action::Permit(word()?),
        "pin" => Action::Pin(id()?),
        "slow" => Action::SetSlow(millis(600_000)?),
        "unblock" => Action::Unblock(viewer()?),
        "unpin" => Action::Unpin,
        _ => return Err(CommandError::Unknown),
    };
    Ok(Command::Moderate(action))
}

#[derive(Serialize)]
#[serde(tag = "k", rename_all = "lowercase")]
enum Message {
    #[serde(rename = "m")]
    Micro(Box<BeatLine>),
    Report {
        comment: CommentLine,
    },
    Done {
        #[serde(rename = "do")]
        verb: &'static str,
        by: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        viewer: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        comment: Option<CommentLine>,
        #[serde(skip_serializing_if = "Option::is_none")]
        word: Option<String>,
        at: u64,
    },
    Failed {
        #[serde(rename = "do")]
        verb: &'static str,
        message: String,
    },
    Verdict {
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
    },
    Jury {
        id: u32,
        finding: &'static str,
    },
    Words {
        words: Vec<String>,
        #[serde(skip_serializing_if = "is_zero")]
        listed: usize,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Who did it, as the audit log and the socket name it.
pub fn actor_name(actor: Actor) -> String {
    match actor {
        Actor::Broadcaster => "broadcaster".to_owned(),
        Actor::Jury(id) => format!("jury:{}", id.0),
        Actor::Moderator(viewer) => format!("viewer:{viewer}"),
        Actor::Operator => "operator".to_owned(),
    }
}

/// The message for broadcaster and moderators; `None` for outputs that do not concern them.
pub fn encode_staff(output: &Output) -> Option<String> {
    let message = match output {
        Output::Audit(entry) => Message::Done {
            verb: entry.action.code(),
            by: actor_name(entry.by),
            viewer: entry.action.viewer().map(|viewer| viewer.to_string()),
            comment: entry.comment.as_ref().map(CommentLine::from),
            word: entry.action.word().map(|word| word.as_str().to_owned()),
            at: entry.at.as_millis(),
        },
        Output::JuryEnded(id, finding) => Message::Jury {
            id: id.0,
            finding: match finding {
                Finding::Mute => "mute",
                Finding::MuteForGood => "mute_for_good",
                Finding::Cleared => "cleared",
                Finding::NoQuorum => "no_quorum",
            },
        },
        Output::Micro(beat) => Message::Micro(Box::new(beat.into())),
        Output::NotDone(_, action, error) => Message::Failed {
            verb: action.code(),
            message: error.to_string(),
        },
        Output::Reported(comment) => Message::Report {
            comment: comment.into(),
        },
        Output::Verdict(id, _, verdict) => Message::Verdict {
            id: id.to_string(),
            seq: verdict.ok(),
            code: verdict.err().map(crate::Refusal::code),
        },
        Output::Words { words, listed } => Message::Words {
            words: words.iter().map(|word| word.as_str().to_owned()).collect(),
            listed: *listed,
        },
        Output::Beat(_) | Output::Marked(_) | Output::Redact(_) | Output::Review(_) => return None,
    };
    serde_json::to_string(&message).ok()
}
