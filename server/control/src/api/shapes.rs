//! JSON shapes of the API. Only these are serialised; the types of the core never are.
//!
//! In → Out: the registry's status and the store's records → what callers read.
//! Spec: `openapi/v1.json`.

use media::UnixTime;
use origin::{Advice, PublisherStatus, RenditionState, RenditionStatus, State, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Record;

/// What the list answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Broadcasts {
    /// Newest first.
    pub(super) broadcasts: Vec<Broadcast>,
}

/// One broadcast.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Broadcast {
    /// 1–64 characters of A–Z a–z 0–9 - _.
    #[schema(example = "demo")]
    id: String,
    /// What viewers read above it.
    title: String,
    state: BroadcastState,
    /// When it went live, or was created if it never did; RFC 3339 in UTC.
    #[schema(format = DateTime)]
    since: String,
    /// What can be watched; empty before the first picture or sound.
    renditions: Vec<Rendition>,
    /// Viewers now.
    viewers: usize,
    /// The publisher of now or of a moment ago; null before the first.
    #[schema(nullable)]
    publisher: Option<Publisher>,
    /// Path of the watch page.
    watch_url: String,
    /// Path of the multivariant playlist.
    playlist_url: String,
    /// Path of a recent picture, JPEG, made anew every five seconds while somebody asks for it; null without a picture.
    #[schema(nullable)]
    thumbnail_url: Option<String>,
    /// Path of a short moving picture, WebP, of the last key frames; null without a picture.
    #[schema(nullable)]
    preview_url: Option<String>,
    /// What the publisher could do better; empty if all is well.
    advice: Vec<AdviceEntry>,
}

/// Something about what the publisher sends.
#[derive(Debug, Serialize, ToSchema)]
struct AdviceEntry {
    /// For programs; does not change.
    #[schema(example = "b_frames")]
    code: String,
    /// For people: what is wrong and what to do.
    message: String,
}

/// Where a broadcast is in its life.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BroadcastState {
    /// Over.
    Ended,
    /// Nothing has been published yet.
    Idle,
    /// Pictures or sound are coming.
    Live,
    /// The publisher is away and may come back.
    Reconnecting,
}

/// Whether a rendition is being made.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RenditionCondition {
    /// Given up until the publisher's next session.
    Lost,
    /// The first viewer who asks starts it.
    Offered,
    /// Made now.
    Running,
    /// Made now, but not offered to players.
    Withheld,
}

/// One encoded output.
#[derive(Debug, Serialize, ToSchema)]
struct Rendition {
    /// `source` is what the publisher sends, encoded anew where `advice` says `repaired`.
    name: String,
    state: RenditionCondition,
    /// Why it is lost (`exited`, `hung` or `slow`) or withheld (`profile`: browsers cannot decode it); null otherwise.
    #[schema(nullable)]
    cause: Option<String>,
    /// RFC 6381, comma-separated.
    codecs: String,
    /// Pixels; null without a picture.
    #[schema(nullable)]
    width: Option<u32>,
    /// Pixels; null without a picture.
    #[schema(nullable)]
    height: Option<u32>,
    /// Pictures a second; null without a picture or while unknown.
    #[schema(nullable)]
    frame_rate: Option<f64>,
    /// Bits per second over the last seconds; 0 until measured.
    bitrate_bps: u64,
}

/// Who sends.
#[derive(Debug, Serialize, ToSchema)]
struct Publisher {
    /// `rtmp`.
    protocol: String,
    connected: bool,
    /// When it connected; RFC 3339 in UTC.
    #[schema(format = DateTime)]
    since: String,
}

/// What creating a broadcast takes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewBroadcast {
    /// What viewers read above it: 1–200 characters; the id if absent.
    pub(super) title: Option<String>,
    /// Its id: 1–64 characters of A–Z a–z 0–9 - _; a random one if absent.
    pub(super) id: Option<String>,
}

/// A broadcast that was just created. The only answer that ever holds the stream key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedBroadcast {
    pub(super) id: String,
    pub(super) title: String,
    /// The publisher's secret: shown here once, stored as a hash.
    pub(super) stream_key: String,
    /// What an encoder takes; holds the stream key.
    #[schema(example = "rtmp://localhost:1935/live/KEY")]
    pub(super) publish_url: String,
    /// Path of the watch page.
    pub(super) watch_url: String,
    /// Path of the multivariant playlist.
    pub(super) playlist_url: String,
}

impl From<&Status> for Broadcast {
    fn from(status: &Status) -> Self {
        let id = status.id.as_str();
        Self {
            id: id.to_owned(),
            title: status.title.to_string(),
            state: status.state.into(),
            since: status.since.to_string(),
            renditions: status.renditions.iter().map(Rendition::from).collect(),
            viewers: status.viewers,
            publisher: status.publisher.as_ref().map(Publisher::from),
            watch_url: watch_url(id),
            playlist_url: playlist_url(id),
            thumbnail_url: status.pictures.then(|| format!("/live/{id}/thumb.jpg")),
            preview_url: status.pictures.then(|| format!("/live/{id}/preview.webp")),
            advice: status.advice.iter().map(AdviceEntry::from).collect(),
        }
    }
}

impl From<&Advice> for AdviceEntry {
    fn from(advice: &Advice) -> Self {
        Self {
            code: advice.code().to_owned(),
            message: advice.message().to_owned(),
        }
    }
}

impl From<&Record> for Broadcast {
    fn from(record: &Record) -> Self {
        let id = record.id.as_str();
        Self {
            id: id.to_owned(),
            title: record.title.clone(),
            state: if record.ended.is_some() {
                BroadcastState::Ended
            } else {
                BroadcastState::Idle
            },
            since: record.created.to_string(),
            renditions: Vec::new(),
            viewers: 0,
            publisher: None,
            watch_url: watch_url(id),
            playlist_url: playlist_url(id),
            thumbnail_url: None,
            preview_url: None,
            advice: Vec::new(),
        }
    }
}

impl From<State> for BroadcastState {
    fn from(state: State) -> Self {
        match state {
            State::Idle => Self::Idle,
            State::Live => Self::Live,
            State::Reconnecting => Self::Reconnecting,
            State::Ended => Self::Ended,
        }
    }
}

impl From<&RenditionStatus> for Rendition {
    fn from(rendition: &RenditionStatus) -> Self {
        let (state, cause) = match rendition.state {
            RenditionState::Running => (RenditionCondition::Running, None),
            RenditionState::Offered => (RenditionCondition::Offered, None),
            RenditionState::Withheld(cause) => {
                (RenditionCondition::Withheld, Some(cause.to_owned()))
            }
            RenditionState::Lost(cause) => (RenditionCondition::Lost, Some(cause.to_owned())),
        };
        Self {
            name: rendition.name.to_string(),
            state,
            cause,
            codecs: rendition.codecs.clone(),
            width: rendition.size.map(|(width, _)| width),
            height: rendition.size.map(|(_, height)| height),
            frame_rate: rendition
                .frame_rate_milli
                .map(|milli| f64::from(milli) / 1_000.0),
            bitrate_bps: rendition.bitrate_bps,
        }
    }
}

impl From<&PublisherStatus> for Publisher {
    fn from(publisher: &PublisherStatus) -> Self {
        Self {
            protocol: publisher.protocol.as_str().to_owned(),
            connected: publisher.connected,
            since: since(publisher.since),
        }
    }
}

fn since(time: UnixTime) -> String {
    time.to_string()
}

pub(super) fn watch_url(id: &str) -> String {
    format!("/b/{id}")
}

pub(super) fn playlist_url(id: &str) -> String {
    format!("/live/{id}/index.m3u8")
}
