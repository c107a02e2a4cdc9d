//! Playlists as a viewer reads them: enough to join, to count on, and to judge.
//!
//! In → Out: M3U8 text → [`Multivariant`] or [`Media`], or the line that is wrong.
//! This shares no code with the server's playlists on purpose: a mistake made by both would not be seen.
//! Spec: RFC 8216bis, "Playlists"; community LHLS, `EXT-X-PREFETCH`.

use media::{Delta, Duration, Epoch, Msn, SegmentId, UnixTime};

/// Why text is not a playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// The first line is not `#EXTM3U`.
    #[error("the first line is not #EXTM3U")]
    NotM3u8,
    /// A line cannot be read.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// A list of variants.
    Multivariant(Multivariant),
    /// A list of segments.
    Media(Media),
}

/// The variants, in the order listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multivariant {
    /// Their URIs.
    pub uris: Vec<String>,
}

/// One listed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As listed.
    pub uri: String,
    /// `EXTINF`.
    pub duration: Duration,
    /// `EXT-X-PROGRAM-DATE-TIME`.
    pub date_time: Option<UnixTime>,
    /// Whether `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// The `EXT-X-MAP` in force.
    pub map: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `EXT-X-TARGETDURATION`.
    pub target_duration: Duration,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// `PART-TARGET`.
    pub part_target: Option<Duration>,
    /// Complete segments.
    pub segments: Vec<Entry>,
    /// `DURATION`s of all parts.
    pub parts: Vec<Duration>,
    /// `EXT-X-PREFETCH`, in order.
    pub prefetch: Vec<String>,
    /// Whether `EXT-X-ENDLIST` is there.
    pub ended: bool,
}

impl Playlist {
    /// Reads either kind.
    pub fn parse(text: &str) -> Result<Self, PlaylistError> {
        if text.lines().next().map(str::trim_end) != Some("#EXTM3U") {
            return Err(PlaylistError::NotM3u8);
        }
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            reader.line(line).map_err(|what| PlaylistError::Line {
                line: index + 1,
                what,
            })?;
        }
        Ok(if reader.multivariant {
            Self::Multivariant(reader.variants)
        } else {
            Self::Media(reader.media)
        })
    }
}

#[derive(Default)]
struct Reader {
    multivariant: bool,
    variants: Multivariant,
    media: Media,
    duration: Option<Duration>,
    date_time: Option<UnixTime>,
    discontinuity: bool,
    map: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.is_empty() {
            return Ok(());
        }
        if !line.starts_with('#') {
            return self.uri(line);
        }
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-STREAM-INF" => self.multivariant = true,
            "#EXT-X-TARGETDURATION" => {
                self.media.target_duration = seconds(value).ok_or("no duration")?;
            }
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.media.media_sequence = value.parse().map_err(|_| "no number")?;
            }
            "#EXT-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET").and_then(seconds);
                self.media.part_target = Some(target.ok_or("no PART-TARGET")?);
            }
            "#EXT-X-PART" => {
                let duration = attribute(value, "DURATION").and_then(seconds);
                self.media.parts.push(duration.ok_or("no DURATION")?);
            }
            "#EXTINF" => {
                let text = value.split(',').next().unwrap_or("");
                self.duration = Some(seconds(text).ok_or("no duration")?);
            }
            "#EXT-X-PROGRAM-DATE-TIME" => {
                self.date_time = Some(date_time(value).ok_or("no date and time")?);
            }
            "#EXT-X-DISCONTINUITY" => self.discontinuity = true,
            "#EXT-X-MAP" => {
                self.map = Some(attribute(value, "URI").ok_or("no URI")?.to_owned());
            }
            "#EXT-X-PREFETCH" => self.media.prefetch.push(value.to_owned()),
            "#EXT-X-ENDLIST" => self.media.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn uri(&mut self, uri: &str) -> Result<(), &'static str> {
        if self.multivariant {
            self.variants.uris.push(uri.to_owned());
            return Ok(());
        }
        self.media.segments.push(Entry {
            uri: uri.to_owned(),
            duration: self.duration.take().ok_or("a segment without EXTINF")?,
            date_time: self.date_time.take(),
            discontinuity: std::mem::take(&mut self.discontinuity),
            map: self.map.clone(),
        });
        Ok(())
    }
}

/// An attribute's value, without quotes.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            let (value, next) = quoted.split_once('"')?;
            (value, next.strip_prefix(',').unwrap_or(""))
        } else {
            after.split_once(',').unwrap_or((after, ""))
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
}

/// Decimal seconds.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_nanos(nanos))
}

/// RFC 3339 with `Z` or a numeric offset.
fn date_time(text: &str) -> Option<UnixTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let fraction = rest[..zone_at].strip_prefix('.').unwrap_or("0");
    let nanos = seconds(&format!("0.{fraction}"))?;
    let zone = &rest[zone_at..];
    let offset = if zone == "Z" {
        0
    } else {
        let part = |range: std::ops::Range<usize>| zone.get(range)?.parse::<i64>().ok();
        let minutes = part(1..3)? * 60 + part(4..6).or_else(|| part(3..5))?;
        if zone.starts_with('-') {
            -minutes
        } else {
            minutes
        }
    };
    // Days since 1970 of a civil date, counting years from March so that leap days come last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let month_index = (month + 9) % 12;
    let days = shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + (month_index * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    let total = days * 86_400 + hour * 3_600 + minute * 60 + second - offset * 60;
    let base = UnixTime::from_millis(u64::try_from(total).ok()?.checked_mul(1_000)?);
    Some(base + Delta::from_nanos(i64::try_from(nanos.as_nanos()).ok()?))
}

/// `{epoch}.{msn}.m4s` at the end of a path.
pub fn segment_id(uri: &str) -> Option<SegmentId> {
    let name = uri.split('?').next()?.rsplit('/').next()?;
    let (epoch, msn) = name.strip_suffix(".m4s")?.split_once('.')?;
    Some(SegmentId {
        epoch: Epoch(epoch.parse().ok()?),
        msn: Msn(msn.parse().ok()?),
    })
}

/// A URI against the path of the playlist that holds it. Absolute URLs of another host are not followed.
pub fn resolve(base: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest
            .find('/')
            .map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned());
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let path = base.split('?').next().unwrap_or(base);
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    let mut rest = uri;
    while let Some(shorter) = rest.strip_prefix("../") {
        parts.pop();
        rest = shorter;
    }
    format!(
        "{}/{}",
        parts.join("/"),
        rest.strip_prefix("./").unwrap_or(rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_latency_playlist_is_understood() {
        let text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.2\n\
            #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"1.init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:34:56.789Z\n\
            #EXT-X-PART:DURATION=0.2,URI=\"1.7.0.m4s\",INDEPENDENT=YES\n#EXTINF:2.00000,\n1.7.m4s\n#EXT-X-DISCONTINUITY\n\
            #EXT-X-MAP:URI=\"2.init.mp4\"\n#EXTINF:1.5,\n2.8.m4s\n#EXT-X-PREFETCH:2.9.m4s\n#EXT-X-PREFETCH:2.10.m4s\n";
        let Ok(Playlist::Media(media)) = Playlist::parse(text) else {
            panic!("not a media playlist")
        };
        assert_eq!(media.media_sequence, 7);
        assert_eq!(media.segments[0].duration, Duration::from_secs(2));
        assert_eq!(
            media.segments[0].date_time,
            Some(UnixTime::from_millis(1_795_350_896_789))
        );
        assert_eq!(media.segments[1].map.as_deref(), Some("2.init.mp4"));
        assert!(media.segments[1].discontinuity && !media.segments[0].discontinuity);
        assert_eq!(media.prefetch, ["2.9.m4s", "2.10.m4s"]);
        assert_eq!(media.parts, [Duration::from_millis(200)]);
    }

    #[test]
    fn names_and_relative_uris_are_resolved() {
        let id = segment_id("/live/x/source/3.14.m4s").unwrap();
        assert_eq!((id.epoch, id.msn), (Epoch(3), Msn(14)));
        assert_eq!(segment_id("3.14.2.m4s"), None);
        assert_eq!(
            resolve("/live/x/index.m3u8?a=b", "source/index.m3u8"),
            "/live/x/source/index.m3u8"
        );
        assert_eq!(resolve("/live/x/source/index.m3u8", "../a"), "/live/x/a");
        assert_eq!(resolve("/live/x/i.m3u8", "http://h:1/y?z"), "/y?z");
    }

    #[test]
    fn dates_with_offsets_are_the_same_instant() {
        assert_eq!(
            date_time("2026-11-22T14:34:56.789+02:00"),
            date_time("2026-11-22T12:34:56.789Z")
        );
        assert_eq!(
            date_time("2000-02-29T00:00:00Z"),
            Some(UnixTime::from_millis(951_782_400_000))
        );
        assert_eq!(date_time("yesterday"), None);
    }

    #[test]
    fn errors_name_their_line() {
        let broken = Playlist::parse("#EXTM3U\n#EXTINF:x,\n");
        assert_eq!(
            broken,
            Err(PlaylistError::Line {
                line: 2,
                what: "no duration"
            })
        );
        assert_eq!(Playlist::parse("<html>"), Err(PlaylistError::NotM3u8));
    }
}
