//! Playlists read: ours and others', right and wrong.
//!
//! In → Out: text → model → canonical text; models → text → the same models.
//! Spec: RFC 8216bis, "Playlists", "Attribute Lists".

use hls::playlist::media::{
    Entry, Lead, MediaPlaylist, OpenEntry, PartEntry, PrefetchEntry, ReportEntry, ServerControl,
};
use hls::playlist::multivariant::{MultivariantPlaylist, Variant};
use hls::playlist::parse::{self, ParseError};
use media::{Duration, UnixTime};
use proptest::prelude::*;

/// Text, and its canonical form.
const GOLDEN: &[(&str, &str, &str)] = &[
    (
        "an old playlist",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n\n#EXTINF:9.009,\nhttp://media.example.com/first.ts\n#EXTINF:3.003,a title, with a comma\nthird.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-VERSION:1\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9.00900,\nhttp://media.example.com/first.ts\n#EXTINF:3.00300,\nthird.ts\n#EXT-X-ENDLIST\n",
    ),
    (
        "line ends of another system, and tags that nobody knows",
        "#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-TARGETDURATION:2\r\n# a remark\r\n#EXT-X-UNKNOWN:A=\"b,c\",D=1\r\n#EXTINF:2\r\na.mp4\r\n",
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.00000,\na.mp4\n",
    ),
    (
        "attributes in another order, with commas inside quotes",
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=1.0\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=3.0,HOLD-BACK=12,CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-PROGRAM-DATE-TIME:2019-02-14T04:13:36.106+02:00\n#EXT-X-PART:INDEPENDENT=YES,URI=\"a,b=c.mp4\",DURATION=1.0\n#EXT-X-PRELOAD-HINT:URI=\"next.mp4\",TYPE=PART\n#EXT-X-RENDITION-REPORT:LAST-PART=2,LAST-MSN=273,URI=\"../1M/wait.php\"\n",
        "#EXTM3U\n#EXT-X-VERSION:1\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=12.000,PART-HOLD-BACK=3.000\n#EXT-X-PART-INF:PART-TARGET=1.000\n#EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:36.106Z\n#EXT-X-PART:DURATION=1.00000,URI=\"a,b=c.mp4\",INDEPENDENT=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"next.mp4\"\n#EXT-X-RENDITION-REPORT:URI=\"../1M/wait.php\",LAST-MSN=273,LAST-PART=2\n",
    ),
    (
        "community prefetch",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2.000\nprev.ts\n#EXT-X-PREFETCH:now.ts\n#EXT-X-PREFETCH-DISCONTINUITY\n#EXT-X-PREFETCH:next.ts\n",
        "#EXTM3U\n#EXT-X-VERSION:1\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2.00000,\nprev.ts\n#EXT-X-PREFETCH:now.ts\n#EXT-X-PREFETCH-DISCONTINUITY\n#EXT-X-PREFETCH:next.ts\n",
    ),
];

#[test]
fn golden_playlists() {
    for (name, text, canonical) in GOLDEN {
        let playlist = parse::media(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(playlist.to_string(), *canonical, "{name}");
        assert_eq!(parse::media(canonical).as_ref(), Ok(&playlist), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let malformed = |line, tag| Err(ParseError::Malformed { line, tag });
    let check = |text: &str, expected: Result<(), ParseError>| {
        assert_eq!(parse::media(text).map(|_| ()), expected, "{text:?}");
    };
    check("", Err(ParseError::NoHeader));
    check("#EXTM3U8\n", Err(ParseError::NoHeader));
    check(
        "#EXTM3U\n",
        Err(ParseError::Missing("EXT-X-TARGETDURATION")),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:-1\n",
        malformed(2, "EXT-X-TARGETDURATION"),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:x,\na\n",
        malformed(3, "EXTINF"),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.é,\na\n",
        malformed(3, "EXTINF"),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:99999999999999,\na\n",
        malformed(3, "EXTINF"),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\na\n",
        Err(ParseError::UnexpectedUri {
            line: 3,
            tag: "EXTINF",
        }),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART:DURATION=1\n",
        malformed(3, "EXT-X-PART"),
    );
    check(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART:DURATION=1,URI=\"a\n",
        malformed(3, "EXT-X-PART"),
    );
    for date in [
        "2026-13-01T00:00:00Z",
        "2026-01-01",
        "2026-01-01T24:00:00Z",
        "1969-01-01T00:00:00Z",
        "1970-01-01T00:00:00+01:00",
    ] {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:{date}\n");
        check(&text, malformed(3, "EXT-X-PROGRAM-DATE-TIME"));
    }
    check(
        &format!("#EXTM3U\n{}", "\n".repeat(parse::TEXT_MAX)),
        Err(ParseError::TooLong),
    );
    assert_eq!(
        parse::multivariant("#EXTM3U\n"),
        Err(ParseError::Missing("EXT-X-STREAM-INF"))
    );
    let orphan = Err(ParseError::UnexpectedUri {
        line: 2,
        tag: "EXT-X-STREAM-INF",
    });
    assert_eq!(parse::multivariant("#EXTM3U\na\n"), orphan);
}

fn duration() -> impl Strategy<Value = Duration> {
    // What five decimals can say.
    (0_u64..20_000_000).prop_map(|value| Duration::from_nanos(value * 10_000))
}

fn millis() -> impl Strategy<Value = Duration> {
    (0_u64..200_000).prop_map(Duration::from_millis)
}

fn uri() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._/=,?&-]{1,20}"
}

fn lead() -> impl Strategy<Value = Lead> {
    let date = prop::option::of((0_u64..4_000_000_000_000).prop_map(UnixTime::from_millis));
    (any::<bool>(), prop::option::of(uri()), date).prop_map(
        |(discontinuity, map, program_date_time)| Lead {
            discontinuity,
            map,
            program_date_time,
        },
    )
}

fn parts(least: usize) -> impl Strategy<Value = Vec<PartEntry>> {
    let part = (duration(), any::<bool>(), any::<bool>(), uri()).prop_map(
        |(duration, independent, gap, uri)| PartEntry {
            duration,
            independent,
            gap,
            uri,
        },
    );
    prop::collection::vec(part, least..4)
}

fn playlist() -> impl Strategy<Value = MediaPlaylist> {
    let head = (
        1_u32..12,
        1_u64..100,
        any::<u64>(),
        any::<u64>(),
        any::<bool>(),
        prop::option::of(any::<u64>()),
    );
    let control = (
        any::<bool>(),
        prop::option::of(millis()),
        prop::option::of(millis()),
        prop::option::of(millis()),
    )
        .prop_map(
            |(can_block_reload, can_skip_until, hold_back, part_hold_back)| ServerControl {
                can_block_reload,
                can_skip_until,
                hold_back,
                part_hold_back,
            },
        );
    let control = (prop::option::of(control), prop::option::of(millis()));
    let entry = (lead(), parts(0), duration(), any::<bool>(), uri()).prop_map(
        |(lead, parts, duration, gap, uri)| Entry {
            lead,
            parts,
            duration,
            gap,
            uri,
        },
    );
    let open = (lead(), parts(1)).prop_map(|(lead, parts)| OpenEntry { lead, parts });
    let report = (uri(), any::<u64>(), prop::option::of(any::<u32>())).prop_map(
        |(uri, last_msn, last_part)| ReportEntry {
            uri,
            last_msn,
            last_part,
        },
    );
    let prefetch = (any::<bool>(), uri())
        .prop_map(|(discontinuity, uri)| PrefetchEntry { discontinuity, uri });
    let body = (prop::collection::vec(entry, 0..5), prop::option::of(open));
    let tail = (
        prop::option::of(uri()),
        prop::option::of(uri()),
        prop::collection::vec(report, 0..3),
        prop::collection::vec(prefetch, 0..3),
        any::<bool>(),
    );
    (head, control, body, tail).prop_map(|(head, control, body, tail)| MediaPlaylist {
        version: head.0,
        target_duration: Duration::from_secs(head.1),
        media_sequence: head.2,
        discontinuity_sequence: head.3,
        independent_segments: head.4,
        skipped: head.5,
        server_control: control.0,
        part_target: control.1,
        segments: body.0,
        open: body.1,
        hinted_part: tail.0,
        hinted_map: tail.1,
        reports: tail.2,
        prefetch: tail.3,
        ended: tail.4,
    })
}

fn multivariant() -> impl Strategy<Value = MultivariantPlaylist> {
    let variant = (
        1_u64..1 << 40,
        prop::option::of(1_u64..1 << 40),
        prop::option::of("[a-z0-9.,]{1,30}"),
        prop::option::of((1_u32..20_000, 1_u32..20_000)),
        prop::option::of(1_u64..400_000),
        any::<bool>(),
        uri(),
    )
        .prop_map(
            |(
                bandwidth_bps,
                average_bandwidth_bps,
                codecs,
                resolution,
                frame_rate_milli,
                captions_none,
                uri,
            )| {
                Variant {
                    bandwidth_bps,
                    average_bandwidth_bps,
                    codecs,
                    resolution,
                    frame_rate_milli,
                    captions_none,
                    uri,
                }
            },
        );
    (any::<bool>(), prop::collection::vec(variant, 1..6)).prop_map(
        |(independent_segments, variants)| MultivariantPlaylist {
            independent_segments,
            variants,
        },
    )
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_back(playlist in playlist()) {
        let text = playlist.to_string();
        prop_assert_eq!(parse::media(&text), Ok(playlist), "{}", text);
    }

    #[test]
    fn what_is_rendered_is_read_back_also_for_variants(playlist in multivariant()) {
        prop_assert_eq!(parse::multivariant(&playlist.to_string()), Ok(playlist));
    }

    #[test]
    fn any_text_is_read_or_refused(
        lines in prop::collection::vec("(#EXT[A-Z-]{0,22}:?)?[ -~é]{0,40}", 0..12),
        tags in prop::collection::vec(0_usize..6, 0..12),
    ) {
        let known = ["#EXTINF:", "#EXT-X-PART:DURATION=", "#EXT-X-PROGRAM-DATE-TIME:2026-", "#EXT-X-SERVER-CONTROL:HOLD-BACK=", "#EXT-X-STREAM-INF:RESOLUTION=", ""];
        let body: Vec<String> = lines.iter().zip(tags.iter().chain(std::iter::repeat(&5))).map(|(line, tag)| format!("{}{line}", known[*tag])).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}", body.join("\n"));
        let _ = parse::multivariant(&text);
        if let Ok(playlist) = parse::media(&text) {
            // What was understood is a fixed point.
            let canonical = playlist.to_string();
            prop_assert_eq!(parse::media(&canonical).map(|again| again.to_string()), Ok(canonical));
        }
    }
}
