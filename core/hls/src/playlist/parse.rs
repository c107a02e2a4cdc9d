//! Playlists read back, for viewers and tests.
//!
//! In → Out: M3U8 text → [`MediaPlaylist`] or [`MultivariantPlaylist`], or the line that is wrong.
//! Tags that are not known are skipped, as the RFC wants it. Bounded: a text longer than [`TEXT_MAX`] is refused before
//! anything is read, and nothing is allocated by a number that the text states.
//!
//! Spec: RFC 8216bis, "Playlists", "Attribute Lists".

use media::{Duration, UnixTime};

use super::media::{
    Entry, Lead, MediaPlaylist, OpenEntry, PartEntry, PrefetchEntry, ReportEntry, ServerControl,
};
use super::multivariant::{MultivariantPlaylist, Variant};

/// The longest text that is read, in bytes.
pub const TEXT_MAX: usize = 4 << 20;

/// Why a text is not a playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`TEXT_MAX`].
    #[error("longer than 4 MiB")]
    TooLong,
    /// The first line is another.
    #[error("does not begin with #EXTM3U")]
    NoHeader,
    /// A tag whose value cannot be read.
    #[error("line {line}: malformed {tag}")]
    Malformed {
        /// From 1.
        line: usize,
        /// The tag.
        tag: &'static str,
    },
    /// A URI that no tag explains.
    #[error("line {line}: URI without {tag}")]
    UnexpectedUri {
        /// From 1.
        line: usize,
        /// The tag that should stand before it.
        tag: &'static str,
    },
    /// A tag without which there is no such playlist.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// Reads a media playlist.
pub fn media(text: &str) -> Result<MediaPlaylist, ParseError> {
    let mut reader = MediaReader::default();
    for (number, line) in lines(text)? {
        reader.read(number, line)?;
    }
    reader.finish()
}

/// Reads a multivariant playlist.
pub fn multivariant(text: &str) -> Result<MultivariantPlaylist, ParseError> {
    let mut playlist = MultivariantPlaylist::default();
    let mut pending: Option<Variant> = None;
    for (number, line) in lines(text)? {
        if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let malformed = ParseError::Malformed {
                line: number,
                tag: "EXT-X-STREAM-INF",
            };
            pending = Some(variant(value).ok_or(malformed)?);
        } else if line == "#EXT-X-INDEPENDENT-SEGMENTS" {
            playlist.independent_segments = true;
        } else if !line.starts_with('#') {
            let unexpected = ParseError::UnexpectedUri {
                line: number,
                tag: "EXT-X-STREAM-INF",
            };
            let variant = pending.take().ok_or(unexpected)?;
            playlist.variants.push(Variant {
                uri: line.to_owned(),
                ..variant
            });
        }
    }
    if playlist.variants.is_empty() {
        Err(ParseError::Missing("EXT-X-STREAM-INF"))
    } else {
        Ok(playlist)
    }
}

/// Lines with their numbers, without empty ones and without the header.
fn lines(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, ParseError> {
    if text.len() > TEXT_MAX {
        return Err(ParseError::TooLong);
    }
    let mut lines = (1..).zip(text.lines().map(str::trim_end));
    match lines.next() {
        Some((_, "#EXTM3U")) => Ok(lines.filter(|(_, line)| !line.is_empty())),
        _ => Err(ParseError::NoHeader),
    }
}

/// What has been read of a segment whose URI has not come.
#[derive(Default)]
struct MediaReader {
    playlist: MediaPlaylist,
    lead: Lead,
    parts: Vec<PartEntry>,
    duration: Option<Duration>,
    gap: bool,
    prefetch_discontinuity: bool,
}

impl MediaReader {
    fn read(&mut self, line: usize, text: &str) -> Result<(), ParseError> {
        let Some(tag) = text.strip_prefix('#') else {
            let duration = self.duration.take().ok_or(ParseError::UnexpectedUri {
                line,
                tag: "EXTINF",
            })?;
            self.playlist.segments.push(Entry {
                lead: std::mem::take(&mut self.lead),
                parts: std::mem::take(&mut self.parts),
                duration,
                gap: std::mem::take(&mut self.gap),
                uri: text.to_owned(),
            });
            return Ok(());
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match self.tag(name, value) {
            Ok(()) => Ok(()),
            Err(tag) => Err(ParseError::Malformed { line, tag }),
        }
    }

    fn tag(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let playlist = &mut self.playlist;
        match name {
            "EXT-X-VERSION" => playlist.version = number(value).ok_or("EXT-X-VERSION")?,
            "EXT-X-TARGETDURATION" => {
                let secs: u32 = number(value).ok_or("EXT-X-TARGETDURATION")?;
                playlist.target_duration = Duration::from_secs(u64::from(secs));
            }
            "EXT-X-SERVER-CONTROL" => {
                playlist.server_control =
                    Some(server_control(value).ok_or("EXT-X-SERVER-CONTROL")?);
            }
            "EXT-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET")
                    .and_then(seconds)
                    .ok_or("EXT-X-PART-INF")?;
                playlist.part_target = Some(target);
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                playlist.media_sequence = number(value).ok_or("EXT-X-MEDIA-SEQUENCE")?;
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                playlist.discontinuity_sequence =
                    number(value).ok_or("EXT-X-DISCONTINUITY-SEQUENCE")?;
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent_segments = true,
            "EXT-X-SKIP" => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS")
                    .and_then(number)
                    .ok_or("EXT-X-SKIP")?;
                playlist.skipped = Some(skipped);
            }
            "EXT-X-ENDLIST" => playlist.ended = true,
            _ => return self.segment_tag(name, value),
        }
        Ok(())
    }

    fn segment_tag(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "EXTINF" => {
                let duration = value.split(',').next().and_then(seconds).ok_or("EXTINF")?;
                self.duration = Some(duration);
            }
            "EXT-X-DISCONTINUITY" => self.lead.discontinuity = true,
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-MAP" => self.lead.map = Some(quoted(value, "URI").ok_or("EXT-X-MAP")?),
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.lead.program_date_time = Some(date(value).ok_or("EXT-X-PROGRAM-DATE-TIME")?);
            }
            "EXT-X-PART" => self.parts.push(part(value).ok_or("EXT-X-PART")?),
            _ => return self.trailing_tag(name, value),
        }
        Ok(())
    }

    fn trailing_tag(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "EXT-X-PRELOAD-HINT" => {
                let uri = quoted(value, "URI").ok_or("EXT-X-PRELOAD-HINT")?;
                match attribute(value, "TYPE") {
                    Some("PART") => self.playlist.hinted_part = Some(uri),
                    Some("MAP") => self.playlist.hinted_map = Some(uri),
                    _ => return Err("EXT-X-PRELOAD-HINT"),
                }
            }
            "EXT-X-RENDITION-REPORT" => {
                let report = report(value).ok_or("EXT-X-RENDITION-REPORT")?;
                self.playlist.reports.push(report);
            }
            "EXT-X-PREFETCH-DISCONTINUITY" => self.prefetch_discontinuity = true,
            "EXT-X-PREFETCH" => {
                let discontinuity = std::mem::take(&mut self.prefetch_discontinuity);
                self.playlist.prefetch.push(PrefetchEntry {
                    discontinuity,
                    uri: value.to_owned(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<MediaPlaylist, ParseError> {
        if self.playlist.target_duration == Duration::ZERO {
            return Err(ParseError::Missing("EXT-X-TARGETDURATION"));
        }
        if self.playlist.version == 0 {
            self.playlist.version = 1;
        }
        if self.lead != Lead::default() || !self.parts.is_empty() {
            self.playlist.open = Some(OpenEntry {
                lead: self.lead,
                parts: self.parts,
            });
        }
        Ok(self.playlist)
    }
}

/// A value in an attribute list.
#[derive(Clone, Copy)]
enum Value<'a> {
    /// Without its quotes.
    Quoted(&'a str),
    Plain(&'a str),
}

/// Finds an attribute; `None` also if the list is malformed before it.
fn find<'a>(list: &'a str, wanted: &str) -> Option<Value<'a>> {
    let mut rest = list;
    while let Some((name, tail)) = rest.split_once('=') {
        let (value, tail) = if let Some(tail) = tail.strip_prefix('"') {
            let (value, tail) = tail.split_once('"')?;
            (Value::Quoted(value), tail.strip_prefix(',').unwrap_or(tail))
        } else {
            let (value, tail) = tail.split_once(',').unwrap_or((tail, ""));
            if value.contains('"') {
                return None;
            }
            (Value::Plain(value), tail)
        };
        if name.trim() == wanted {
            return Some(value);
        }
        rest = tail;
    }
    None
}

/// The value of a number or a word.
fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    match find(list, wanted)? {
        Value::Plain(value) => Some(value),
        Value::Quoted(_) => None,
    }
}

/// The value of a quoted string that is not empty.
fn quoted(list: &str, wanted: &str) -> Option<String> {
    match find(list, wanted)? {
        Value::Quoted(value) if !value.is_empty() => Some(value.to_owned()),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Decimal seconds, exact to the nanosecond.
fn seconds(text: &str) -> Option<Duration> {
    let nanos = decimal(text, 9)?;
    Some(Duration::from_nanos(nanos))
}

/// A decimal number in units of 10^-`places`; further places are dropped.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.is_ascii() {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(places).ok()?);
    let fraction = &fraction[..fraction.len().min(places)];
    let missing = u32::try_from(places - fraction.len()).ok()?;
    let parts: u64 = if fraction.is_empty() {
        0
    } else {
        number(fraction)?
    };
    number::<u64>(whole)?
        .checked_mul(scale)?
        .checked_add(parts * 10_u64.pow(missing))
}

/// RFC 3339 in UTC, as `EXT-X-PROGRAM-DATE-TIME` is written here (`Z` or a numeric offset).
fn date(text: &str) -> Option<UnixTime> {
    let (day, time) = text.split_once('T')?;
    let mut day = day.splitn(3, '-').map(number::<u64>);
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    let zone = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let mut clock = time.splitn(3, ':');
    let (hour, minute) = (number::<u64>(clock.next()?)?, number::<u64>(clock.next()?)?);
    let millis = decimal(clock.next()?, 3)?;
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
    {
        return None;
    }
    // Days since 1970 by the civil calendar, counted from 1 March so that the leap day comes last.
    let shifted = if month > 2 { year } else { year - 1 };
    let month_index = (month + 9) % 12;
    let days = shifted * 365 + shifted / 4 - shifted / 100
        + shifted / 400
        + (153 * month_index + 2) / 5
        + day
        - 1
        - 719_468;
    let minutes = (days * 24 + hour) * 60 + minute;
    let offset = zone_minutes(zone)?;
    let utc = minutes.checked_add_signed(-offset)?;
    Some(UnixTime::from_millis(utc * 60_000 + millis))
}

fn zone_minutes(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let (hours, minutes) = digits
        .split_once(':')
        .or_else(|| digits.split_at_checked(2))?;
    let total = number::<i64>(hours).filter(|hours| *hours < 24)? * 60
        + number::<i64>(minutes).filter(|m| *m < 60)?;
    Some(if sign == "-" { -total } else { total })
}

fn server_control(list: &str) -> Option<ServerControl> {
    let time = |name| attribute(list, name).map_or(Some(None), |value| seconds(value).map(Some));
    Some(ServerControl {
        can_block_reload: attribute(list, "CAN-BLOCK-RELOAD") == Some("YES"),
        can_skip_until: time("CAN-SKIP-UNTIL")?,
        hold_back: time("HOLD-BACK")?,
        part_hold_back: time("PART-HOLD-BACK")?,
    })
}

fn part(list: &str) -> Option<PartEntry> {
    Some(PartEntry {
        duration: seconds(attribute(list, "DURATION")?)?,
        independent: attribute(list, "INDEPENDENT") == Some("YES"),
        gap: attribute(list, "GAP") == Some("YES"),
        uri: quoted(list, "URI")?,
    })
}

fn report(list: &str) -> Option<ReportEntry> {
    let last_part =
        attribute(list, "LAST-PART").map_or(Some(None), |value| number(value).map(Some))?;
    Some(ReportEntry {
        uri: quoted(list, "URI")?,
        last_msn: number(attribute(list, "LAST-MSN")?)?,
        last_part,
    })
}

fn variant(list: &str) -> Option<Variant> {
    let resolution = match attribute(list, "RESOLUTION") {
        None => None,
        Some(text) => {
            let (width, height) = text.split_once('x')?;
            Some((number(width)?, number(height)?))
        }
    };
    let average =
        attribute(list, "AVERAGE-BANDWIDTH").map_or(Some(None), |value| number(value).map(Some))?;
    let rate =
        attribute(list, "FRAME-RATE").map_or(Some(None), |value| decimal(value, 3).map(Some))?;
    Some(Variant {
        bandwidth_bps: number(attribute(list, "BANDWIDTH")?)?,
        average_bandwidth_bps: average,
        codecs: quoted(list, "CODECS"),
        resolution,
        frame_rate_milli: rate,
        captions_none: attribute(list, "CLOSED-CAPTIONS") == Some("NONE"),
        uri: String::new(),
    })
}
