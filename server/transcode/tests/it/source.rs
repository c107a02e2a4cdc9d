//! A source for the transcoder's tests, and the processes that the transcoder started.
//!
//! In → Out: ffmpeg's test picture and tone → [`Event`]s as ingest would give them.
//! Spec: none; made by ffmpeg's own `testsrc2` and `sine`.

use bytes::Bytes;
use formats::codec::{aac, h264};
use formats::container::flv::file::{Reader, TagKind};
use media::{
    AccessUnit, Duration, Event, Timestamp, Track, TrackConfig, TrackId, UnixTime, VideoConfig,
};
use tokio::process::Command;

const START: UnixTime = UnixTime::from_millis(1_795_350_000_000);

/// Three seconds of picture and sound with a key frame each second.
pub(crate) struct Source {
    pub(crate) events: Vec<Event>,
}

impl Source {
    pub(crate) async fn make(size: &str, bframes: u32) -> Self {
        let video = format!("-tune zerolatency -g 30 -bf {bframes} -pix_fmt yuv420p");
        Self::make_with(size, 3, &video).await
    }

    /// So many seconds whose picture is encoded with x264's options `video`.
    pub(crate) async fn make_with(size: &str, seconds: u32, video: &str) -> Self {
        let line = format!(
            "-hide_banner -loglevel error -f lavfi -i testsrc2=size={size}:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 \
             -t {seconds} -c:v libx264 -preset ultrafast {video} -c:a aac -f flv pipe:1"
        );
        let output = Command::new("ffmpeg")
            .args(line.split_whitespace())
            .output()
            .await
            .expect("ffmpeg is installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            events: events(&output.stdout),
        }
    }

    /// The picture's configuration.
    pub(crate) fn video(&self) -> &VideoConfig {
        let Some(Event::Tracks(tracks)) = self.events.first() else {
            panic!("tracks come first")
        };
        match &tracks[0].config {
            TrackConfig::Video(video) => video,
            TrackConfig::Audio(_) => panic!("picture first"),
        }
    }

    /// The same pictures again and again, with times that go on.
    pub(crate) fn forever(&self) -> impl Iterator<Item = Event> + '_ {
        (0_u64..20).flat_map(move |round| {
            let later = Duration::from_secs(3 * round);
            self.events
                .iter()
                .skip(usize::from(round > 0))
                .cloned()
                .map(move |event| match event {
                    Event::Unit(unit) => {
                        let (pts, dts, wall) =
                            (unit.pts + later, unit.dts + later, unit.wall + later);
                        Event::Unit(AccessUnit {
                            pts,
                            dts,
                            wall,
                            ..unit
                        })
                    }
                    other => other,
                })
        })
    }
}

fn events(stream: &[u8]) -> Vec<Event> {
    let mut reader = Reader::default();
    reader.handle_bytes(stream);
    let (mut tracks, mut units) = (Vec::new(), Vec::new());
    let mut pictures = h264::Stream::new();
    while let Some(tag) = reader.poll_tag().unwrap() {
        match (tag.kind, tag.body[1]) {
            (TagKind::Video, 0) => {
                pictures.handle_record(&tag.body.slice(5..)).unwrap();
                let config = TrackConfig::Video(pictures.config().unwrap().unwrap());
                tracks.push(Track {
                    id: TrackId::VIDEO,
                    config,
                });
            }
            (TagKind::Audio, 0) => {
                let config = TrackConfig::Audio(aac::parse_config(&tag.body.slice(2..)).unwrap());
                tracks.push(Track {
                    id: TrackId::AUDIO,
                    config,
                });
            }
            (TagKind::Video, 1) => {
                let composition =
                    i64::from(i32::from_be_bytes([tag.body[2], tag.body[3], tag.body[4], 0]) >> 8);
                let random_access = tag.body[0] >> 4 == 1;
                units.push(unit(
                    TrackId::VIDEO,
                    tag.millis,
                    composition,
                    random_access,
                    tag.body.slice(5..),
                ));
            }
            (TagKind::Audio, 1) => units.push(unit(
                TrackId::AUDIO,
                tag.millis,
                0,
                true,
                tag.body.slice(2..),
            )),
            _ => {}
        }
    }
    std::iter::once(Event::Tracks(tracks))
        .chain(units)
        .collect()
}

fn unit(
    track: TrackId,
    millis: u32,
    composition: i64,
    random_access: bool,
    payload: Bytes,
) -> Event {
    let dts = Timestamp::from_millis(millis.into());
    let pts = Timestamp::from_millis(i64::from(millis) + composition);
    let wall = START + pts.since(Timestamp::ZERO);
    Event::Unit(AccessUnit {
        track,
        pts,
        dts,
        duration: None,
        wall,
        random_access,
        payload,
    })
}

/// The process ids of encoders that this test's own process runs.
pub(crate) fn encoders() -> Vec<i32> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let Some((head, tail)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<_> = tail.split_whitespace().collect();
        if head.ends_with("(ffmpeg")
            && fields.get(1) == Some(&own.as_str())
            && fields.first() != Some(&"Z")
        {
            found.push(pid);
        }
    }
    found
}

/// What the kernel's memory killer does, and an operator's `kill -9`, to the encoders that were given this argument: those
/// of other tests in the same process are left alone.
pub(crate) fn kill_encoders(argument: &str) {
    let given = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|word| word == argument.as_bytes())
    };
    for pid in encoders().into_iter().filter(given) {
        let killed = std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }
}
