//! Every metric of the process, with its help line. A test finds those that are used and not listed, or listed and not used.
//!
//! In → Out: names used across `server/` → descriptions in `/metrics` and in `docs/operating/metrics.md`.
//! Spec: Prometheus, "Metric and label naming": `nearcast_<noun>_<unit>[_total]`.

use metrics::Unit;

/// Which kind of metric a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Name, kind, help line (labels in brackets).
pub(crate) const METRICS: &[(&str, Kind, &str)] = &[
    (
        "nearcast_broadcast_panics_total",
        Kind::Counter,
        "Broadcasts whose task failed; each is a defect.",
    ),
    (
        "nearcast_broadcasts",
        Kind::Gauge,
        "Broadcasts that exist: on air, reconnecting, or ended a moment ago.",
    ),
    (
        "nearcast_delivery_accept_pauses_total",
        Kind::Counter,
        "Times that accepting paused [reason].",
    ),
    (
        "nearcast_delivery_bytes_total",
        Kind::Counter,
        "Bytes sent by fan-out threads, heads and framing included.",
    ),
    (
        "nearcast_delivery_connections",
        Kind::Gauge,
        "Open HTTP connections.",
    ),
    (
        "nearcast_delivery_cuts_total",
        Kind::Counter,
        "Viewers whose connection was cut, or who left [reason].",
    ),
    (
        "nearcast_delivery_fan_out_seconds",
        Kind::Histogram,
        "From a chunk's append to its last socket write, per fan-out thread.",
    ),
    (
        "nearcast_delivery_refusals_total",
        Kind::Counter,
        "Requests answered with an error [code].",
    ),
    (
        "nearcast_delivery_viewers",
        Kind::Gauge,
        "Sockets that follow a growing object.",
    ),
    (
        "nearcast_ingest_bytes_total",
        Kind::Counter,
        "Bytes received from publishers.",
    ),
    (
        "nearcast_ingest_connections",
        Kind::Gauge,
        "Open ingest connections, publishing or not.",
    ),
    (
        "nearcast_ingest_connections_refused_total",
        Kind::Counter,
        "Connections closed at once because too many were open.",
    ),
    (
        "nearcast_ingest_handshakes_failed_total",
        Kind::Counter,
        "Connections that ended before their handshake was complete.",
    ),
    (
        "nearcast_ingest_protocol_errors_total",
        Kind::Counter,
        "Connections that ended because the peer broke the protocol.",
    ),
    (
        "nearcast_ingest_publishers",
        Kind::Gauge,
        "Publishers that are live.",
    ),
    (
        "nearcast_ingest_refusals_total",
        Kind::Counter,
        "Publishers turned away or stopped [code].",
    ),
    (
        "nearcast_ingest_sessions_ended_total",
        Kind::Counter,
        "Publish sessions that ended [reason].",
    ),
    (
        "nearcast_ingest_throttled_total",
        Kind::Counter,
        "Pauses in reading because a publisher exceeded its bitrate.",
    ),
    (
        "nearcast_ingest_units_dropped_total",
        Kind::Counter,
        "Access units that could not be read or that no decoder could have used.",
    ),
    (
        "nearcast_pictures_total",
        Kind::Counter,
        "Pictures of broadcasts that were asked for [kind, outcome].",
    ),
    (
        "nearcast_publish_requests_total",
        Kind::Counter,
        "Publish attempts by outcome [result]: admitted, or why refused.",
    ),
    (
        "nearcast_room_beats_total",
        Kind::Counter,
        "Beats sent to viewers.",
    ),
    (
        "nearcast_room_comments_total",
        Kind::Counter,
        "Comments by what became of them [result].",
    ),
    (
        "nearcast_room_dropped_total",
        Kind::Counter,
        "Reports and votes dropped because a room was too busy.",
    ),
    (
        "nearcast_room_hearts_total",
        Kind::Counter,
        "Hearts counted, each with its sampling weight.",
    ),
    (
        "nearcast_room_refusals_total",
        Kind::Counter,
        "Requests of viewers refused as a whole [code].",
    ),
    (
        "nearcast_room_restarts_total",
        Kind::Counter,
        "Rooms whose task failed and was begun again; each is a defect.",
    ),
    (
        "nearcast_room_reviews_total",
        Kind::Counter,
        "Comments asked about at the review hook [result].",
    ),
    (
        "nearcast_room_store_dropped_total",
        Kind::Counter,
        "Writes of interaction segments dropped because the disk is too slow.",
    ),
    (
        "nearcast_room_store_errors_total",
        Kind::Counter,
        "Writes of interaction segments that failed.",
    ),
    ("nearcast_rooms", Kind::Gauge, "Rooms that are open."),
    (
        "nearcast_takeovers_total",
        Kind::Counter,
        "Publishers replaced by a newer session of the same broadcast.",
    ),
    (
        "nearcast_transcode_dropped_pictures_total",
        Kind::Counter,
        "Pictures that an encoder process was too slow to take.",
    ),
    (
        "nearcast_transcode_lost_rungs_total",
        Kind::Counter,
        "Rungs given up until the publisher's next session [rendition, cause].",
    ),
    (
        "nearcast_transcode_overflows_total",
        Kind::Counter,
        "Times that a transcoder's queue was full and pictures were left out up to the next key frame.",
    ),
    (
        "nearcast_transcode_processes",
        Kind::Gauge,
        "Encoder processes that run.",
    ),
    (
        "nearcast_transcode_starts_total",
        Kind::Counter,
        "Encoder processes started.",
    ),
];

/// Tells the recorder what each name means.
pub(crate) fn describe() {
    for (name, kind, help) in METRICS {
        let unit = if name.ends_with("_seconds") {
            Unit::Seconds
        } else if name.contains("_bytes") {
            Unit::Bytes
        } else {
            Unit::Count
        };
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, unit, *help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The crates of `server/` that are part of the binary.
    const CRATES: [&str; 7] = [
        "control",
        "delivery",
        "ingest",
        "interaction",
        "nearcast",
        "origin",
        "transcode",
    ];

    /// Every string literal in their sources that names a metric.
    fn used() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let server = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut directories: Vec<_> = CRATES
            .iter()
            .map(|name| server.join(name).join("src"))
            .collect();
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs")
                    && !path.ends_with(Path::new("nearcast/src/metric_names.rs"))
                {
                    let text = std::fs::read_to_string(path).unwrap();
                    let literals = text
                        .split("\"nearcast_")
                        .skip(1)
                        .filter_map(|rest| rest.split_once('"'));
                    names.extend(literals.map(|(name, _)| format!("nearcast_{name}")).filter(
                        |name| {
                            name.bytes().all(|byte| {
                                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
                            })
                        },
                    ));
                }
            }
        }
        names
    }

    #[test]
    fn every_metric_that_is_used_is_listed_and_every_listed_one_is_used() {
        let listed: BTreeSet<String> = METRICS
            .iter()
            .map(|(name, _, _)| (*name).to_owned())
            .collect();
        let used = used();
        assert_eq!(
            used.difference(&listed).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "used, but not in METRICS"
        );
        assert_eq!(
            listed.difference(&used).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "in METRICS, but not used"
        );
    }

    #[test]
    fn the_operators_page_lists_the_same_metrics() {
        let page = include_str!("../../../docs/operating/metrics.md");
        for (name, _, help) in METRICS {
            assert!(
                page.contains(&format!("`{name}`")) && page.contains(help),
                "docs/operating/metrics.md lacks `{name}` with: {help}"
            );
        }
    }

    #[test]
    fn counters_end_in_total_and_nothing_else_does() {
        for (name, kind, _) in METRICS {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        }
    }
}
