//! Stored lines → where a room stood, so that it can go on after a restart.
//!
//! In → Out: the lines of an `ix` segment, the last possibly torn → the [`Snapshot`] after them.
//! Spec: docs/ix.md, "Snapshot line", "Beat line"; case IX-10.

use media::UnixTime;
use serde::{Deserialize, Serialize};

use super::line::{BeatLine, Line, LineError, Pin, muted_lines, parse_line};
use super::{NUMBER_MAX, VERSION};
use crate::{Comment, Marked, MuteNotice, Snapshot, ViewerId, Word};

/// The state after the last whole line of a segment; `None` if it holds no snapshot that can be read.
pub fn replay(segment: &[u8]) -> Option<Snapshot> {
    let mut state: Option<Snapshot> = None;
    for line in segment
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match (parse_line(line), &mut state) {
            (Ok(Line::Snapshot(snapshot)), _) => {
                if let Ok(mut snapshot) = snapshot.to_snapshot() {
                    bound(&mut snapshot);
                    state = Some(snapshot);
                }
            }
            // A line that was torn by a crash, or one that does not fit, ends what is known.
            (Ok(Line::Beat(beat)), Some(state)) => {
                if apply(state, &beat).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    state
}

fn apply(state: &mut Snapshot, beat: &BeatLine) -> Result<(), LineError> {
    let at = UnixTime::from_millis(beat.at);
    let comments: Vec<Comment> = beat
        .comments
        .iter()
        .map(|comment| comment.to_comment(at))
        .collect::<Result<_, _>>()?;
    state.comments_total = state.comments_total.saturating_add(comments.len() as u64);
    state.last.extend(comments);
    state
        .last
        .retain(|comment| !beat.gone.contains(&comment.id.to_string()));
    for (total, new) in state.hearts.iter_mut().zip(&beat.hearts) {
        *total = total.saturating_add(*new);
    }
    for (viewer, until) in &beat.muted {
        let viewer = ViewerId::parse(viewer).ok_or(LineError::Field("muted"))?;
        let until = (*until > 0).then(|| UnixTime::from_millis(*until));
        state.muted.retain(|notice| notice.viewer != viewer);
        state.muted.push(MuteNotice { viewer, until });
    }
    match &beat.pin {
        Some(Pin::Comment(comment)) => state.pinned = Some(comment.to_comment(at)?),
        Some(Pin::Nothing(_)) => state.pinned = None,
        None => {}
    }
    if let Some(rules) = &beat.rules {
        state.rules = rules.to_rules()?;
    }
    (state.seq, state.at) = (beat.seq.min(NUMBER_MAX), at);
    bound(state);
    Ok(())
}

/// Comments kept against repetition over a restart.
pub const REPLAY_COMMENTS_MAX: usize = 128;
/// Mutes kept over a restart.
const MUTED_MAX: usize = 4_096;

fn bound(state: &mut Snapshot) {
    let old = state.last.len().saturating_sub(REPLAY_COMMENTS_MAX);
    state.last.drain(..old);
    state.muted.truncate(MUTED_MAX);
    state.seq = state.seq.min(NUMBER_MAX);
}

#[derive(Deserialize, Serialize)]
struct MarkedLine {
    v: u32,
    moderators: Vec<String>,
    blocked: Vec<String>,
    approved: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    writers: Vec<String>,
    /// Until when, in milliseconds since 1970; 0: for the rest of the broadcast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    muted: Vec<(String, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    judged: Vec<(String, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<String>,
}

/// Marks as text, for a file of their own: viewers read `ix` segments, and who moderates is not for them.
pub fn encode_marked(marked: &Marked) -> Vec<u8> {
    let list = |viewers: &[ViewerId]| viewers.iter().map(ToString::to_string).collect();
    let line = MarkedLine {
        v: VERSION,
        moderators: list(&marked.moderators),
        blocked: list(&marked.blocked),
        approved: list(&marked.approved),
        writers: list(&marked.writers),
        muted: muted_lines(&marked.muted),
        judged: marked
            .judged
            .iter()
            .map(|(viewer, mutes)| (viewer.to_string(), *mutes))
            .collect(),
        words: marked
            .words
            .iter()
            .map(|word| word.as_str().to_owned())
            .collect(),
    };
    serde_json::to_vec(&line).unwrap_or_default()
}

/// The marks of such a file; `None` if it holds none that can be read.
pub fn parse_marked(text: &[u8]) -> Option<Marked> {
    let line: MarkedLine = serde_json::from_slice(text).ok()?;
    let list = |viewers: &[String]| -> Option<Vec<ViewerId>> {
        viewers
            .iter()
            .map(|viewer| ViewerId::parse(viewer))
            .collect()
    };
    Some(Marked {
        moderators: list(&line.moderators)?,
        blocked: list(&line.blocked)?,
        approved: list(&line.approved)?,
        writers: list(&line.writers)?,
        muted: line
            .muted
            .iter()
            .map(|(viewer, until)| {
                Some(MuteNotice {
                    viewer: ViewerId::parse(viewer)?,
                    until: (*until > 0).then(|| UnixTime::from_millis(*until)),
                })
            })
            .collect::<Option<_>>()?,
        judged: line
            .judged
            .iter()
            .map(|(viewer, mutes)| Some((ViewerId::parse(viewer)?, *mutes)))
            .collect::<Option<_>>()?,
        words: line
            .words
            .iter()
            .filter_map(|word| Word::parse(word))
            .collect(),
    })
}
