//! What delivery counts.
//!
//! In → Out: events of connections, answers and fan-out → the `metrics` facade; the binary decides where they go.
//! Every name of this crate stands here, with its help line; labels are bounded.
//! Spec: Prometheus, "Metric and label naming".

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// Handles that are looked up once, for hot paths.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Sockets that follow a growing object in a fan-out shard.
    pub(crate) viewers: Gauge,
    /// Bytes written by fan-out shards.
    pub(crate) bytes: Counter,
    /// From a chunk's append to its last socket write in a shard.
    pub(crate) fan_out: Histogram,
    /// Open connections.
    pub(crate) connections: Gauge,
}

impl Metrics {
    /// Describes all metrics and looks the handles up. Call after the recorder is installed.
    pub(crate) fn new() -> Self {
        describe_gauge!(
            VIEWERS,
            Unit::Count,
            "Sockets that follow a growing object."
        );
        describe_gauge!(CONNECTIONS, Unit::Count, "Open HTTP connections.");
        describe_counter!(
            BYTES,
            Unit::Bytes,
            "Bytes sent, heads and framing included."
        );
        describe_counter!(
            CUTS,
            Unit::Count,
            "Viewers that lost their connection, by reason."
        );
        describe_counter!(
            REFUSALS,
            Unit::Count,
            "Requests answered with an error, by status code."
        );
        describe_counter!(
            PAUSES,
            Unit::Count,
            "Times that accepting paused, by reason."
        );
        describe_histogram!(
            FAN_OUT,
            Unit::Seconds,
            "From a chunk's append to its last socket write, per shard."
        );
        Self {
            viewers: gauge!(VIEWERS),
            bytes: counter!(BYTES),
            fan_out: histogram!(FAN_OUT),
            connections: gauge!(CONNECTIONS),
        }
    }

    /// A viewer's connection was cut, or its viewer left. `reason` is one of a closed list.
    pub(crate) fn cut(&self, reason: &'static str) {
        let _ = self;
        counter!(CUTS, "reason" => reason).increment(1);
    }

    /// A request was answered with an error.
    pub(crate) fn refused(&self, code: u16) {
        let _ = self;
        counter!(REFUSALS, "code" => code.to_string()).increment(1);
    }

    /// Accepting paused.
    pub(crate) fn paused(&self, reason: &'static str) {
        let _ = self;
        counter!(PAUSES, "reason" => reason).increment(1);
    }
}

const VIEWERS: &str = "nearcast_delivery_viewers";
const CONNECTIONS: &str = "nearcast_delivery_connections";
const BYTES: &str = "nearcast_delivery_bytes_total";
const CUTS: &str = "nearcast_delivery_cuts_total";
const REFUSALS: &str = "nearcast_delivery_refusals_total";
const PAUSES: &str = "nearcast_delivery_accept_pauses_total";
const FAN_OUT: &str = "nearcast_delivery_fan_out_seconds";
