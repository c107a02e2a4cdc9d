//! What others may know of a broadcast: immutable snapshots for the API, metrics and the ledger.
//!
//! In → Out: the broadcast task publishes its part of the truth, the live windows the other → [`Status`].
//! Spec: none; our own.

use std::sync::Arc;

use arc_swap::ArcSwap;
use delivery::Live;
use hls::ladder::{Rung, shown_size};
use hls::{Snapshot, Start};
use media::{BroadcastId, RenditionName, Track, UnixTime, VideoConfig};

use crate::advice::Advice;
use crate::position::Position;
pub(crate) use ingest::Protocol;

/// Where a broadcast is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A publisher is there, but has sent nothing that can be watched.
    Idle,
    /// Media comes.
    Live,
    /// The publisher is away and may come back.
    Reconnecting,
    /// Over; playlists say so for a while yet.
    Ended,
}

/// One broadcast at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: BroadcastId,
    /// What viewers read above it.
    pub title: Arc<str>,
    /// Where it is in its life.
    pub state: State,
    /// When its first publisher was admitted.
    pub since: UnixTime,
    /// What can be watched; empty before the first init section.
    pub renditions: Vec<RenditionStatus>,
    /// Viewers now.
    pub viewers: usize,
    /// The publisher of now, or the last one.
    pub publisher: Option<PublisherStatus>,
    /// Whether there are pictures at `thumb.jpg` and `preview.webp`.
    pub pictures: bool,
    /// What keeps viewers from having it soon, or at all.
    pub advice: Vec<Advice>,
}

/// Whether a rendition is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionState {
    /// It is made now.
    Running,
    /// The first viewer who asks starts it.
    Offered,
    /// It is made, but players are not offered it; why: `profile`, which browsers cannot decode.
    Withheld(&'static str),
    /// It was given up until the publisher's next session; why: `exited`, `hung` or `slow`.
    Lost(&'static str),
}

/// One encoded output at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionStatus {
    /// Its name.
    pub name: RenditionName,
    /// Whether it is being made.
    pub state: RenditionState,
    /// RFC 6381, comma-separated.
    pub codecs: String,
    /// Width and height in pixels as shown; `None` without a picture.
    pub size: Option<(u32, u32)>,
    /// Thousandths of pictures a second; `None` without a picture or while unknown.
    pub frame_rate_milli: Option<u32>,
    /// Average bits per second over the listed segments; 0 before the first is complete.
    pub bitrate_bps: u64,
}

/// A publisher at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherStatus {
    /// How it speaks to us.
    pub protocol: Protocol,
    /// Whether its session lasts.
    pub connected: bool,
    /// When it was admitted.
    pub since: UnixTime,
}

/// How far a broadcast's numbers have run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The broadcast.
    pub id: BroadcastId,
    /// The next free numbers if `settled`, else at least the ones in use.
    pub position: Start,
    /// Whether the broadcast has ended, so that nothing beyond `position` was announced.
    pub settled: bool,
}

/// The part of a status that the broadcast task knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) title: Arc<str>,
    pub(crate) state: State,
    pub(crate) since: UnixTime,
    pub(crate) publisher: Option<PublisherStatus>,
    pub(crate) position: Position,
    pub(crate) advice: Vec<Advice>,
}

/// Where the broadcast task publishes its standing; readers never wait for it.
pub(crate) type Board = Arc<ArcSwap<Standing>>;

impl Status {
    /// Joins what the task says with what the live windows say.
    pub(crate) fn join(id: &BroadcastId, standing: &Standing, live: &Live) -> Self {
        Self {
            id: id.clone(),
            title: standing.title.clone(),
            state: standing.state,
            since: standing.since,
            renditions: renditions(live),
            viewers: live.viewers(),
            publisher: standing.publisher,
            pictures: live.gallery().is_open(),
            advice: standing.advice.clone(),
        }
    }
}

/// Those that are made, those that could be, and those that were given up; best first.
fn renditions(live: &Live) -> Vec<RenditionStatus> {
    let running = live.renditions();
    let source = running
        .iter()
        .find(|(name, _)| *name == RenditionName::Source)
        .and_then(|(name, view)| rendition(*name, view.snapshot()));
    let offers = live.offers();
    let lost = live.lost();
    let all = RenditionName::ALL.into_iter().filter_map(|name| {
        let view = running.iter().find(|(running, _)| *running == name);
        if let Some(status) = view.and_then(|(_, view)| rendition(name, view.snapshot())) {
            return Some(status);
        }
        let source = source.as_ref()?;
        // A rung is as the source is coded; the source's size here is as it is shown.
        if let Some(offered) = offers.iter().find(|rung| rung.name == name) {
            return Some(promised(offered, RenditionState::Offered, source));
        }
        let lost = lost.iter().find(|lost| lost.rung.name == name)?;
        Some(promised(
            &lost.rung,
            RenditionState::Lost(lost.cause),
            source,
        ))
    });
    all.collect()
}

/// A rung's size as it is shown: lying or standing as its source is.
fn upright(rung: &Rung, source: Option<(u32, u32)>) -> (u32, u32) {
    let (width, height) = (rung.width, rung.height);
    match source {
        Some((across, down)) if (across > down) != (width > height) => (height, width),
        _ => (width, height),
    }
}

/// A rung that is not made now, as far as it is known before its first picture.
fn promised(rung: &Rung, state: RenditionState, source: &RenditionStatus) -> RenditionStatus {
    let sound = source
        .codecs
        .split(',')
        .filter(|codec| codec.starts_with("mp4a"));
    let codecs: Vec<String> = std::iter::once(rung.codec_string())
        .chain(sound.map(str::to_owned))
        .collect();
    RenditionStatus {
        name: rung.name,
        state,
        codecs: codecs.join(","),
        size: Some(upright(rung, source.size)),
        frame_rate_milli: source.frame_rate_milli,
        bitrate_bps: u64::from(rung.bitrate_bps),
    }
}

fn rendition(name: RenditionName, snapshot: &Snapshot) -> Option<RenditionStatus> {
    if snapshot.tracks.is_empty() {
        return None;
    }
    let codecs: Vec<&str> = snapshot.tracks.iter().map(Track::codec_string).collect();
    let video = snapshot.tracks.iter().find_map(Track::video);
    let frame = video.and_then(|video| snapshot.frame_duration.or(video.frame_duration));
    Some(RenditionStatus {
        name,
        state: if video.is_none_or(VideoConfig::is_for_browsers) {
            RenditionState::Running
        } else {
            RenditionState::Withheld("profile")
        },
        codecs: codecs.join(","),
        size: video.map(shown_size),
        frame_rate_milli: frame
            .and_then(|frame| 1_000_000_000_000_u64.checked_div(frame.as_nanos()))
            .and_then(|milli| u32::try_from(milli).ok()),
        bitrate_bps: snapshot.bitrate.average_bps,
    })
}
