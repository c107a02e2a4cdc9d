//! A server that is not given the CPU for seconds, while a publisher sends and a viewer watches.
//!
//! In → Out: `SIGSTOP` and `SIGCONT` → playlists that are back at the live edge, on the clock that they had before.
//! Spec: case PKG-05, shortened; RFC 8216bis, "EXT-X-PROGRAM-DATE-TIME".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hls::playlist::media::MediaPlaylist;
use hls::playlist::parse;
use rustix::process::Signal;

use crate::process::{Answer, Server};
use crate::publisher::publish;

const MEDIA: &str = "/live/x/source/index.m3u8";
/// Three seconds of four are stolen, twice.
const STOLEN: Duration = Duration::from_secs(3);
const GIVEN: Duration = Duration::from_secs(1);
/// A segment that is open is not listed as a whole: two seconds, and room for a slow machine.
const BEHIND_MAX: i64 = 4_000_000_000;
/// How far dates may move against durations, in nanoseconds.
const OFF_MAX: i64 = 1_500_000_000;
/// What the process may have grown by, in KiB.
const GROWTH_MAX: u64 = 64 * 1_024;

/// How far behind now the end of the last whole segment is, in nanoseconds.
fn behind(playlist: &MediaPlaylist) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_nanos()).unwrap();
    let (date, duration) = dates(playlist).pop().expect("a segment");
    now - date - duration
}

/// When each listed segment begins, and how long it is, in nanoseconds.
fn dates(playlist: &MediaPlaylist) -> Vec<(i64, i64)> {
    let entry = |entry: &hls::playlist::media::Entry| {
        let date = entry.lead.program_date_time.expect("each has a date");
        let nanos = i64::try_from(date.as_nanos()).unwrap();
        (nanos, i64::try_from(entry.duration.as_nanos()).unwrap())
    };
    playlist.segments.iter().map(entry).collect()
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let field = line.and_then(|line| line.split_whitespace().nth(1));
    field.expect("a process has memory").parse().unwrap()
}

fn is_listed(answer: &Answer) -> bool {
    answer.text().contains("#EXTINF")
}

#[tokio::test]
async fn pkg_05_after_its_cpu_was_stolen_a_server_is_back_at_the_live_edge() {
    let server = Server::start(&["--dev"]).await;
    let publisher = publish(server.rtmp, "x");
    let before = server.get_until(MEDIA, is_listed).await.text();
    let current = before
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-PREFETCH:"))
        .expect("the open segment");
    let current = format!("/live/x/source/{current}");
    let memory = resident_kib(&server);
    let watch = server.get(&current);
    let steal = async {
        for _ in 0..2 {
            server.signal(Signal::STOP);
            tokio::time::sleep(STOLEN).await;
            server.signal(Signal::CONT);
            tokio::time::sleep(GIVEN).await;
        }
    };
    let (watched, ()) = tokio::join!(watch, steal);
    assert!(watched.status == 200 && watched.ended_cleanly());

    let back = |answer: &Answer| behind(&parse::media(&answer.text()).unwrap()) < BEHIND_MAX;
    let after = server.get_until(MEDIA, back).await.text();
    assert!(!after.contains("#EXT-X-DISCONTINUITY"), "{after}");
    for pair in dates(&parse::media(&after).unwrap()).windows(2) {
        // The clock is found in the first seconds; three stolen ones do not move it.
        let off = pair[1].0 - pair[0].0 - pair[0].1;
        assert!(
            off.abs() < OFF_MAX,
            "the clock was moved by {off} ns in {after}"
        );
    }
    let grown = resident_kib(&server).saturating_sub(memory);
    assert!(grown < GROWTH_MAX, "{grown} KiB more");
    publisher.abort();
}
