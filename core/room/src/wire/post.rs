//! The body of `POST …/ix` and its answer.
//!
//! In → Out: at most 8 KiB of JSON → a [`Post`] whose every number is in range; a receipt and verdicts → JSON.
//! A comment whose text is not taken does not spoil the rest of its request: it gets its own refusal.
//! Spec: `docs/ix.md`, "The way up".

use media::{Duration, UnixTime};
use serde::{Deserialize, Serialize};

use super::{NUMBER_MAX, VERSION};
use crate::intake::{Heartbeat, Post, Receipt, Taps, Written};
use crate::level::Ladder;
use crate::{CommentId, CommentText, JuryId, Refusal, Vote};

/// Why a body is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// A field is out of range.
    #[error("`{0}` is out of range or malformed")]
    Field(&'static str),
    /// Not JSON, or not an object of this shape.
    #[error("not the JSON object that docs/ix.md describes")]
    Syntax,
    /// More than [`BODY_MAX`] bytes.
    #[error("longer than 8 KiB")]
    TooLong,
    /// Another version.
    #[error("`v` must be 1")]
    Version,
}

/// The largest body, in bytes.
pub const BODY_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
struct RawPost<'a> {
    v: u32,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    taps: Option<RawTaps>,
    #[serde(default)]
    comments: Vec<RawComment>,
    hb: Option<RawHeartbeat>,
    #[serde(default)]
    leave: bool,
    report: Option<String>,
    vote: Option<RawVote>,
    jury: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
struct RawTaps {
    n: u32,
    #[serde(rename = "in", default = "one")]
    one_in: u32,
    #[serde(default)]
    age: u64,
}

#[derive(Deserialize)]
struct RawComment {
    id: String,
    t: String,
    m: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct RawHeartbeat {
    #[serde(rename = "in", default = "one")]
    one_in: u32,
    #[serde(default)]
    join: bool,
}

#[derive(Deserialize)]
struct RawVote {
    jury: u32,
    is: RawVerdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawVerdict {
    Abuse,
    Fine,
    Unsure,
}

const fn one() -> u32 {
    1
}

/// Parses a request body.
pub fn parse_post(body: &[u8]) -> Result<Post, PostError> {
    if body.len() > BODY_MAX {
        return Err(PostError::TooLong);
    }
    let raw: RawPost<'_> = serde_json::from_slice(body).map_err(|_| PostError::Syntax)?;
    if raw.v != VERSION {
        return Err(PostError::Version);
    }
    if raw.comments.len() > Post::COMMENTS_MAX {
        return Err(PostError::Field("comments"));
    }
    let id = CommentId::parse(&raw.id).ok_or(PostError::Field("id"))?.0;
    let report = raw
        .report
        .map(|id| CommentId::parse(&id).ok_or(PostError::Field("report")))
        .transpose()?;
    Ok(Post {
        id,
        taps: raw.taps.map(parse_taps).transpose()?,
        comments: raw
            .comments
            .iter()
            .map(parse_comment)
            .collect::<Result<_, _>>()?,
        heartbeat: raw.hb.map(parse_heartbeat).transpose()?,
        leave: raw.leave,
        report,
        vote: raw.vote.map(|vote| {
            let is = match vote.is {
                RawVerdict::Abuse => Vote::Abuse,
                RawVerdict::Fine => Vote::Fine,
                RawVerdict::Unsure => Vote::Unsure,
            };
            (JuryId(vote.jury), is)
        }),
        jury: raw.jury,
    })
}

fn parse_taps(raw: RawTaps) -> Result<Taps, PostError> {
    let valid = (1..=Post::TAPS_MAX).contains(&raw.n)
        && (1..=Ladder::ONE_IN_MAX).contains(&raw.one_in)
        && raw.age <= NUMBER_MAX;
    if !valid {
        return Err(PostError::Field("taps"));
    }
    Ok(Taps {
        count: raw.n,
        one_in: raw.one_in,
        age: Duration::from_millis(raw.age),
    })
}

fn parse_heartbeat(raw: RawHeartbeat) -> Result<Heartbeat, PostError> {
    if !(1..=Ladder::ONE_IN_MAX).contains(&raw.one_in) {
        return Err(PostError::Field("hb"));
    }
    Ok(Heartbeat {
        one_in: raw.one_in,
        joined: raw.join,
    })
}

fn parse_comment(raw: &RawComment) -> Result<Written, PostError> {
    let id = CommentId::parse(&raw.id).ok_or(PostError::Field("comments"))?;
    if raw.m.is_some_and(|media| media > NUMBER_MAX) {
        return Err(PostError::Field("comments"));
    }
    Ok(Written {
        id,
        text: CommentText::parse(&raw.t),
        media: raw.m.map(UnixTime::from_millis),
    })
}

#[derive(Serialize)]
struct Reply<'a> {
    v: u32,
    hearts: u64,
    repeated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comments: Vec<ReplyComment<'a>>,
}

#[derive(Serialize)]
struct ReplyComment<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RefusalLine<'a>>,
}

#[derive(Serialize)]
struct RefusalLine<'a> {
    code: &'a str,
    message: String,
}

/// What became of a comment: the number of its beat, or a code and a message for its author.
pub type Answer = Result<u64, (&'static str, String)>;

/// The answer to a request: what of it counted, and for each comment the number of its beat or why it is in none.
/// A refusal whose code is not in [`Refusal`] (a text that is too long, say) comes as a code with a message.
pub fn encode_reply(receipt: &Receipt, comments: &[(CommentId, Answer)]) -> Vec<u8> {
    let comments = comments.iter().map(|(id, verdict)| ReplyComment {
        id: id.to_string(),
        seq: verdict.as_ref().ok().copied(),
        error: verdict.as_ref().err().map(|(code, message)| RefusalLine {
            code,
            message: message.clone(),
        }),
    });
    let reply = Reply {
        v: VERSION,
        hearts: receipt.hearts,
        repeated: receipt.repeated,
        comments: comments.collect(),
    };
    serde_json::to_vec(&reply).unwrap_or_default()
}

#[derive(Serialize)]
struct RefusedReply<'a> {
    error: RefusalLine<'a>,
}

/// The answer to a request that is refused as a whole, in the shape of every error of the API.
pub fn encode_refusal(refusal: Refusal) -> Vec<u8> {
    let error = RefusalLine {
        code: refusal.code(),
        message: refusal.to_string(),
    };
    serde_json::to_vec(&RefusedReply { error }).unwrap_or_default()
}
