//! The lines of an `ix` segment: one snapshot, then beats.
//!
//! In → Out: [`Snapshot`] and [`Beat`] ↔ one JSON object on one line, with its newline.
//! Spec: `docs/ix.md`, "Snapshot line" and "Beat line"; JSON Lines.

use media::{Duration, UnixTime};
use serde::{Deserialize, Serialize};

use super::{NUMBER_MAX, VERSION};
use crate::{
    Beat, Colour, Comment, CommentId, CommentText, Gate, JuryId, JuryNotice, Level, MuteNotice,
    Name, Rules, Snapshot, ViewerId, Viewers,
};

/// Why a line is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not JSON, or not an object of this shape.
    #[error("not a line that docs/ix.md describes")]
    Syntax,
    /// Another version.
    #[error("written in another version")]
    Version,
    /// More than [`LINE_MAX`] bytes.
    #[error("longer than 256 KiB")]
    TooLong,
    /// A field is out of range.
    #[error("`{0}` is out of range or malformed")]
    Field(&'static str),
}

/// The longest line that is parsed, in bytes. Ours are far shorter.
pub const LINE_MAX: usize = 256 * 1024;

/// A line of an `ix` segment.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "k")]
pub enum Line {
    /// The first line of each segment.
    #[serde(rename = "s")]
    Snapshot(SnapshotLine),
    /// Every other line.
    #[serde(rename = "b")]
    Beat(BeatLine),
}

/// A comment.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CommentLine {
    /// Its id.
    pub id: String,
    /// The author's id.
    pub u: String,
    /// The author's name.
    pub n: String,
    /// The text.
    pub t: String,
    /// Media time that the author was looking at, milliseconds since 1970.
    pub m: u64,
    /// True for the broadcaster's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub b: bool,
}

/// Joins.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct JoinsLine {
    /// How many.
    pub n: u64,
    /// A few of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// The viewer count.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct ViewersLine {
    /// How many.
    pub n: u64,
    /// Half the width of the 95 % interval; absent when exact.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub err: u64,
}

/// The rules.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RulesLine {
    /// Sum taps for so many milliseconds.
    pub tap_ms: u64,
    /// Keep one tap in so many; 0: send none.
    pub tap_in: u32,
    /// Say that you are there every so many milliseconds.
    pub hb_ms: u64,
    /// Say it with a chance of one in so many.
    pub hb_in: u32,
    /// Milliseconds between two comments.
    pub slow_ms: u64,
    /// `all`, `approved`, `nobody` or `first:N`.
    pub gate: String,
    /// Milliseconds between two beats.
    pub beat_ms: u64,
    /// Spread reconnections over so many milliseconds.
    pub jitter_ms: u64,
    /// Whether reports draw flash juries; absent when they do.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub jury: bool,
}

/// A jury that begins or sits.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct JuryLine {
    /// Which.
    pub id: u32,
    /// Who is asked.
    pub jurors: Vec<String>,
    /// About what.
    pub comment: CommentLine,
    /// Until when, milliseconds since 1970.
    pub until: u64,
}

/// What one beat says; absent fields are empty or unchanged.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct BeatLine {
    /// The number of the beat.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// New hearts by colour, sixteen numbers; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hearts: Vec<u64>,
    /// Comments, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<CommentLine>,
    /// Who came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<JoinsLine>,
    /// How many watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewers: Option<ViewersLine>,
    /// Comments that have to vanish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// `[viewer, until]`; 0: for the rest of the broadcast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<(String, u64)>,
    /// The pinned comment has changed; `false`: none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// The rules have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesLine>,
    /// The level has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Juries that begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub juries: Vec<JuryLine>,
}

/// A pinned comment, or `false`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Pin {
    /// This one.
    Comment(CommentLine),
    /// None (`false`).
    Nothing(bool),
}

/// Where a page begins.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SnapshotLine {
    /// The version of the format.
    pub v: u32,
    /// The room's epoch.
    pub epoch: u32,
    /// The last beat in it.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Hearts so far by colour, sixteen numbers.
    pub hearts: Vec<u64>,
    /// All hearts so far.
    pub total: u64,
    /// All comments so far.
    pub said: u64,
    /// How many watch.
    pub viewers: ViewersLine,
    /// The rules.
    pub rules: RulesLine,
    /// The level, 0–4.
    pub level: u8,
    /// The pinned comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<CommentLine>,
    /// The last comments, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<CommentLine>,
    /// `[viewer, until]`; 0: for the rest of the broadcast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<(String, u64)>,
    /// Juries that sit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub juries: Vec<JuryLine>,
}

/// A beat as a line, newline included.
pub fn encode_beat(beat: &Beat) -> Vec<u8> {
    encode(&Line::Beat(BeatLine::from(beat)))
}

/// A snapshot as a line, newline included.
pub fn encode_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    encode(&Line::Snapshot(SnapshotLine::from(snapshot)))
}

/// Parses a line, with or without its newline.
pub fn parse_line(line: &[u8]) -> Result<Line, LineError> {
    if line.len() > LINE_MAX {
        return Err(LineError::TooLong);
    }
    let line: Line = serde_json::from_slice(line).map_err(|_| LineError::Syntax)?;
    match &line {
        Line::Snapshot(snapshot) if snapshot.v != VERSION => Err(LineError::Version),
        _ => Ok(line),
    }
}

fn encode(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn number(value: u64) -> u64 {
    value.min(NUMBER_MAX)
}

pub(super) fn muted_lines(notices: &[MuteNotice]) -> Vec<(String, u64)> {
    notices
        .iter()
        .map(|notice| {
            (
                notice.viewer.to_string(),
                notice.until.map_or(0, |until| until.as_millis().max(1)),
            )
        })
        .collect()
}

impl From<&Comment> for CommentLine {
    fn from(comment: &Comment) -> Self {
        Self {
            id: comment.id.to_string(),
            u: comment.author.to_string(),
            n: comment.name.to_string(),
            t: comment.text.to_string(),
            m: comment.media.as_millis(),
            b: comment.by_broadcaster,
        }
    }
}

impl From<Viewers> for ViewersLine {
    fn from(viewers: Viewers) -> Self {
        Self {
            n: number(viewers.count),
            err: number(viewers.error),
        }
    }
}

impl From<&Rules> for RulesLine {
    fn from(rules: &Rules) -> Self {
        let gate = match rules.gate {
            Gate::All => "all".to_owned(),
            Gate::Approved => "approved".to_owned(),
            Gate::First(count) => format!("first:{count}"),
            Gate::Nobody => "nobody".to_owned(),
        };
        Self {
            tap_ms: rules.tap_every.as_millis(),
            tap_in: rules.tap_one_in,
            hb_ms: rules.heartbeat_every.as_millis(),
            hb_in: rules.heartbeat_one_in,
            slow_ms: rules.slow.as_millis(),
            gate,
            beat_ms: rules.beat_every.as_millis(),
            jitter_ms: rules.reconnect_jitter.as_millis(),
            jury: rules.juries,
        }
    }
}

impl From<&JuryNotice> for JuryLine {
    fn from(jury: &JuryNotice) -> Self {
        let jurors = jury.jurors.iter().map(ToString::to_string).collect();
        Self {
            id: jury.id.0,
            jurors,
            comment: (&jury.comment).into(),
            until: jury.until.as_millis(),
        }
    }
}

impl From<&Beat> for BeatLine {
    fn from(beat: &Beat) -> Self {
        let any = beat.hearts.iter().any(|count| *count > 0);
        let joins = JoinsLine {
            n: number(beat.joins.count),
            names: beat.joins.names.iter().map(ToString::to_string).collect(),
        };
        Self {
            seq: beat.seq,
            at: beat.at.as_millis(),
            hearts: beat
                .hearts
                .iter()
                .filter(|_| any)
                .map(|count| number(*count))
                .collect(),
            comments: beat.comments.iter().map(CommentLine::from).collect(),
            joins: (joins.n > 0).then_some(joins),
            viewers: beat.viewers.map(ViewersLine::from),
            gone: beat.removed.iter().map(ToString::to_string).collect(),
            muted: muted_lines(&beat.muted),
            pin: beat.pinned.as_ref().map(|pin| {
                pin.as_ref()
                    .map_or(Pin::Nothing(false), |comment| Pin::Comment(comment.into()))
            }),
            rules: beat.rules.as_ref().map(RulesLine::from),
            level: beat.level.map(Level::number),
            juries: beat.juries.iter().map(JuryLine::from).collect(),
        }
    }
}

impl From<&Snapshot> for SnapshotLine {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            v: VERSION,
            epoch: snapshot.epoch,
            seq: snapshot.seq,
            at: snapshot.at.as_millis(),
            hearts: snapshot.hearts.iter().map(|count| number(*count)).collect(),
            total: number(snapshot.hearts_total()),
            said: number(snapshot.comments_total),
            viewers: snapshot.viewers.into(),
            rules: (&snapshot.rules).into(),
            level: snapshot.level.number(),
            pin: snapshot.pinned.as_ref().map(CommentLine::from),
            last: snapshot.last.iter().map(CommentLine::from).collect(),
            muted: muted_lines(&snapshot.muted),
            juries: snapshot.juries.iter().map(JuryLine::from).collect(),
        }
    }
}

impl CommentLine {
    /// Back to a checked comment.
    pub fn to_comment(&self, at: UnixTime) -> Result<Comment, LineError> {
        Ok(Comment {
            id: CommentId::parse(&self.id).ok_or(LineError::Field("id"))?,
            author: ViewerId::parse(&self.u).ok_or(LineError::Field("u"))?,
            name: Name::parse(&self.n).map_err(|_| LineError::Field("n"))?,
            text: CommentText::parse(&self.t).map_err(|_| LineError::Field("t"))?,
            media: UnixTime::from_millis(self.m),
            at,
            by_broadcaster: self.b,
        })
    }
}

impl SnapshotLine {
    /// Back to what a room restarts from. Rules that the room decides itself (sampling, level) start afresh.
    pub fn to_snapshot(&self) -> Result<Snapshot, LineError> {
        let at = UnixTime::from_millis(self.at);
        let mut hearts = [0; Colour::COUNT];
        if self.hearts.len() != hearts.len() {
            return Err(LineError::Field("hearts"));
        }
        hearts.copy_from_slice(&self.hearts);
        let muted = self.muted.iter().map(|(viewer, until)| {
            let viewer = ViewerId::parse(viewer).ok_or(LineError::Field("muted"))?;
            Ok(MuteNotice {
                viewer,
                until: (*until > 0).then(|| UnixTime::from_millis(*until)),
            })
        });
        let juries = self.juries.iter().map(|jury| {
            let jurors = jury
                .jurors
                .iter()
                .map(|juror| ViewerId::parse(juror).ok_or(LineError::Field("jurors")));
            let (id, until) = (JuryId(jury.id), UnixTime::from_millis(jury.until));
            Ok(JuryNotice {
                id,
                jurors: jurors.collect::<Result<_, _>>()?,
                comment: jury.comment.to_comment(at)?,
                until,
            })
        });
        Ok(Snapshot {
            epoch: self.epoch,
            seq: self.seq,
            at,
            hearts,
            comments_total: self.said,
            viewers: Viewers {
                count: self.viewers.n,
                error: self.viewers.err,
            },
            rules: self.rules.to_rules()?,
            level: Level::L0,
            pinned: self
                .pin
                .as_ref()
                .map(|pin| pin.to_comment(at))
                .transpose()?,
            last: self
                .last
                .iter()
                .map(|comment| comment.to_comment(at))
                .collect::<Result<_, _>>()?,
            muted: muted.collect::<Result<_, _>>()?,
            juries: juries.collect::<Result<_, LineError>>()?,
        })
    }
}

impl RulesLine {
    /// Back to rules.
    pub fn to_rules(&self) -> Result<Rules, LineError> {
        let millis = Duration::from_millis;
        Ok(Rules {
            tap_every: millis(self.tap_ms),
            tap_one_in: self.tap_in,
            heartbeat_every: millis(self.hb_ms),
            heartbeat_one_in: self.hb_in,
            slow: millis(self.slow_ms),
            gate: parse_gate(&self.gate).ok_or(LineError::Field("gate"))?,
            beat_every: millis(self.beat_ms),
            reconnect_jitter: millis(self.jitter_ms),
            juries: self.jury,
        })
    }
}

/// `all`, `approved`, `nobody` or `first:N` with N at most [`Gate::FIRST_MAX`].
pub(super) fn parse_gate(text: &str) -> Option<Gate> {
    match text {
        "all" => Some(Gate::All),
        "approved" => Some(Gate::Approved),
        "nobody" => Some(Gate::Nobody),
        other => other
            .strip_prefix("first:")?
            .parse()
            .ok()
            .filter(|count| *count <= Gate::FIRST_MAX)
            .map(Gate::First),
    }
}
