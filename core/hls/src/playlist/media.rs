//! The media playlist of one rendition.
//!
//! In → Out: [`Snapshot`] and what the request wants → [`MediaPlaylist`] → text.
//! [`MediaPlaylist`] says what a text says, line by line, so that it can be parsed back and compared; `window` decides
//! what is listed, and `render` how it is told to whom.
//!
//! Spec: RFC 8216bis, "Media Playlist Tags"; community LHLS, `EXT-X-PREFETCH`; design "Playlists".

use std::fmt;

use media::{Duration, Msn, RenditionName, UnixTime};

use crate::Snapshot;

/// Which container the segments named have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `.m4s` with init sections; parts.
    #[default]
    Fmp4,
    /// `.ts`.
    Ts,
}

/// How segments that are not complete are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// By `EXT-X-PREFETCH`, parts and hints.
    #[default]
    Prefetch,
    /// `?announce=plain`: as ordinary entries with approximate durations.
    Plain,
}

/// `_HLS_skip`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// Absent: the whole playlist.
    #[default]
    No,
    /// `YES`.
    Yes,
    /// `v2`.
    V2,
}

/// What another rendition has, for `EXT-X-RENDITION-REPORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The other rendition.
    pub rendition: RenditionName,
    /// Its newest segment, open or complete.
    pub last_msn: Msn,
    /// The newest part of that segment.
    pub last_part: Option<u32>,
}

impl Report {
    /// What a snapshot of another rendition says; `None` while there is nothing to report.
    pub fn of(rendition: RenditionName, snapshot: &Snapshot) -> Option<Self> {
        if let Some((last_msn, part)) = snapshot.last_part() {
            return Some(Self {
                rendition,
                last_msn,
                last_part: Some(part),
            });
        }
        let last_msn = snapshot.segments.last()?.id.msn;
        Some(Self {
            rendition,
            last_msn,
            last_part: None,
        })
    }
}

/// What a request wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaRequest<'a> {
    /// The container.
    pub form: Form,
    /// How incomplete segments are announced.
    pub announce: Announce,
    /// Whether old segments may be left out.
    pub skip: Skip,
    /// All other renditions of the broadcast.
    pub reports: &'a [Report],
}

/// A media playlist as it stands in text. `to_string` is its canonical form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION`; 1 where it is absent.
    pub version: u32,
    /// `EXT-X-TARGETDURATION`.
    pub target_duration: Duration,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: Option<ServerControl>,
    /// `PART-TARGET` of `EXT-X-PART-INF`.
    pub part_target: Option<Duration>,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `SKIPPED-SEGMENTS` of `EXT-X-SKIP`: how many segments at the beginning were left out.
    pub skipped: Option<u64>,
    /// Complete segments, and those that are announced as if they were.
    pub segments: Vec<Entry>,
    /// The open segment, as far as parts of it are listed.
    pub open: Option<OpenEntry>,
    /// `EXT-X-PRELOAD-HINT` of the type `PART`: a URI.
    pub hinted_part: Option<String>,
    /// `EXT-X-PRELOAD-HINT` of the type `MAP`: a URI.
    pub hinted_map: Option<String>,
    /// `EXT-X-RENDITION-REPORT`s.
    pub reports: Vec<ReportEntry>,
    /// `EXT-X-PREFETCH`es.
    pub prefetch: Vec<PrefetchEntry>,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
}

/// `EXT-X-SERVER-CONTROL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// `CAN-BLOCK-RELOAD`.
    pub can_block_reload: bool,
    /// `CAN-SKIP-UNTIL`.
    pub can_skip_until: Option<Duration>,
    /// `HOLD-BACK`.
    pub hold_back: Option<Duration>,
    /// `PART-HOLD-BACK`.
    pub part_hold_back: Option<Duration>,
}

/// One segment with `EXTINF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What stands before it and its parts.
    pub lead: Lead,
    /// Parts that are listed.
    pub parts: Vec<PartEntry>,
    /// `EXTINF`.
    pub duration: Duration,
    /// `EXT-X-GAP`.
    pub gap: bool,
    /// Relative to the playlist.
    pub uri: String,
}

/// The open segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenEntry {
    /// What stands before its parts.
    pub lead: Lead,
    /// Its parts so far.
    pub parts: Vec<PartEntry>,
}

/// The tags that stand before a segment and its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lead {
    /// `EXT-X-DISCONTINUITY`.
    pub discontinuity: bool,
    /// `EXT-X-MAP`, where it changes: a URI.
    pub map: Option<String>,
    /// `EXT-X-PROGRAM-DATE-TIME`.
    pub program_date_time: Option<UnixTime>,
}

/// `EXT-X-PART`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartEntry {
    /// `DURATION`.
    pub duration: Duration,
    /// `INDEPENDENT=YES`.
    pub independent: bool,
    /// `GAP=YES`.
    pub gap: bool,
    /// `URI`.
    pub uri: String,
}

/// `EXT-X-RENDITION-REPORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportEntry {
    /// `URI`.
    pub uri: String,
    /// `LAST-MSN`.
    pub last_msn: u64,
    /// `LAST-PART`.
    pub last_part: Option<u32>,
}

/// `EXT-X-PREFETCH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefetchEntry {
    /// `EXT-X-PREFETCH-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// Relative to the playlist.
    pub uri: String,
}

/// Seconds with five decimals: exact enough for sound, and short.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundred_thousandths = (self.0.as_nanos() + 5_000) / 10_000;
        write!(
            f,
            "{}.{:05}",
            hundred_thousandths / 100_000,
            hundred_thousandths % 100_000
        )
    }
}

/// Seconds with three decimals.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        write!(f, "{}.{:03}", millis / 1_000, millis % 1_000)
    }
}

impl fmt::Display for MediaPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#EXTM3U\n#EXT-X-VERSION:{}", self.version)?;
        writeln!(
            f,
            "#EXT-X-TARGETDURATION:{}",
            self.target_duration.as_nanos() / 1_000_000_000
        )?;
        if let Some(control) = &self.server_control {
            control.fmt(f)?;
        }
        if let Some(target) = self.part_target {
            writeln!(f, "#EXT-X-PART-INF:PART-TARGET={}", Millis(target))?;
        }
        writeln!(f, "#EXT-X-MEDIA-SEQUENCE:{}", self.media_sequence)?;
        if self.discontinuity_sequence > 0 {
            writeln!(
                f,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.discontinuity_sequence
            )?;
        }
        if self.independent_segments {
            writeln!(f, "#EXT-X-INDEPENDENT-SEGMENTS")?;
        }
        if let Some(skipped) = self.skipped {
            writeln!(f, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
        }
        self.segments.iter().try_for_each(|entry| entry.fmt(f))?;
        if let Some(open) = &self.open {
            open.lead.fmt(f)?;
            open.parts.iter().try_for_each(|part| part.fmt(f))?;
        }
        for (kind, uri) in [("MAP", &self.hinted_map), ("PART", &self.hinted_part)] {
            if let Some(uri) = uri {
                writeln!(f, "#EXT-X-PRELOAD-HINT:TYPE={kind},URI=\"{uri}\"")?;
            }
        }
        self.reports.iter().try_for_each(|report| report.fmt(f))?;
        for prefetch in &self.prefetch {
            if prefetch.discontinuity {
                writeln!(f, "#EXT-X-PREFETCH-DISCONTINUITY")?;
            }
            writeln!(f, "#EXT-X-PREFETCH:{}", prefetch.uri)?;
        }
        if self.ended {
            writeln!(f, "#EXT-X-ENDLIST")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for ServerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = ':';
        f.write_str("#EXT-X-SERVER-CONTROL")?;
        if self.can_block_reload {
            write!(f, "{separator}CAN-BLOCK-RELOAD=YES")?;
            separator = ',';
        }
        let attributes = [
            ("CAN-SKIP-UNTIL", self.can_skip_until),
            ("HOLD-BACK", self.hold_back),
            ("PART-HOLD-BACK", self.part_hold_back),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                write!(f, "{separator}{name}={}", Millis(value))?;
                separator = ',';
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.discontinuity {
            writeln!(f, "#EXT-X-DISCONTINUITY")?;
        }
        if let Some(map) = &self.map {
            writeln!(f, "#EXT-X-MAP:URI=\"{map}\"")?;
        }
        match self.program_date_time {
            Some(date) => writeln!(f, "#EXT-X-PROGRAM-DATE-TIME:{date}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lead.fmt(f)?;
        self.parts.iter().try_for_each(|part| part.fmt(f))?;
        writeln!(f, "#EXTINF:{},", Seconds(self.duration))?;
        if self.gap {
            writeln!(f, "#EXT-X-GAP")?;
        }
        writeln!(f, "{}", self.uri)
    }
}

impl fmt::Display for PartEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#EXT-X-PART:DURATION={},URI=\"{}\"",
            Seconds(self.duration),
            self.uri
        )?;
        if self.independent {
            f.write_str(",INDEPENDENT=YES")?;
        }
        if self.gap {
            f.write_str(",GAP=YES")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for ReportEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#EXT-X-RENDITION-REPORT:URI=\"{}\",LAST-MSN={}",
            self.uri, self.last_msn
        )?;
        if let Some(part) = self.last_part {
            write!(f, ",LAST-PART={part}")?;
        }
        writeln!(f)
    }
}

/// Renders the playlist. URIs are relative to `/live/{id}/{rendition}/`.
pub fn render(snapshot: &Snapshot, request: &MediaRequest<'_>) -> String {
    super::media_playlist(snapshot, request).to_string()
}
