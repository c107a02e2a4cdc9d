//! Every metric of this crate, with its help line.
//!
//! In → Out: what happens to connections and publishers → counters and gauges of the `metrics` facade.
//! Spec: Prometheus naming; labels are closed lists.

use media::EndReason;
use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::{Protocol, RefusalCode};

const BYTES: &str = "nearcast_ingest_bytes_total";
const CONNECTIONS: &str = "nearcast_ingest_connections";
const CONNECTIONS_REFUSED: &str = "nearcast_ingest_connections_refused_total";
const DROPPED: &str = "nearcast_ingest_units_dropped_total";
const ENDED: &str = "nearcast_ingest_sessions_ended_total";
const HANDSHAKES_FAILED: &str = "nearcast_ingest_handshakes_failed_total";
const PROTOCOL_ERRORS: &str = "nearcast_ingest_protocol_errors_total";
const PUBLISHERS: &str = "nearcast_ingest_publishers";
const REFUSALS: &str = "nearcast_ingest_refusals_total";
const THROTTLED: &str = "nearcast_ingest_throttled_total";

pub(crate) fn describe() {
    describe_counter!(BYTES, "Bytes received from publishers.");
    describe_gauge!(CONNECTIONS, "Open ingest connections, publishing or not.");
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections closed at once because too many were open."
    );
    describe_counter!(
        DROPPED,
        "Access units that could not be read or that no decoder could have used."
    );
    describe_counter!(ENDED, "Publish sessions that ended, by reason.");
    describe_counter!(
        HANDSHAKES_FAILED,
        "Connections that ended before their handshake was complete."
    );
    describe_counter!(
        PROTOCOL_ERRORS,
        "Connections that ended because the peer broke the protocol."
    );
    describe_gauge!(PUBLISHERS, "Publishers that are live.");
    describe_counter!(REFUSALS, "Publishers turned away or stopped, by code.");
    describe_counter!(
        THROTTLED,
        "Pauses in reading because a publisher exceeded its bitrate."
    );
}

pub(crate) fn bytes(count: usize) {
    counter!(BYTES).increment(count as u64);
}

pub(crate) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

pub(crate) fn dropped(count: u64) {
    counter!(DROPPED).increment(count);
}

pub(crate) fn ended(reason: EndReason) {
    let reason = match reason {
        EndReason::Finished => "finished",
        EndReason::Lost => "lost",
        EndReason::Replaced => "replaced",
        EndReason::Refused => "refused",
        EndReason::Stopped => "stopped",
    };
    counter!(ENDED, "reason" => reason).increment(1);
}

pub(crate) fn handshake_failed() {
    counter!(HANDSHAKES_FAILED).increment(1);
}

pub(crate) fn protocol_error() {
    counter!(PROTOCOL_ERRORS).increment(1);
}

pub(crate) fn refusal(code: RefusalCode) {
    counter!(REFUSALS, "code" => code.as_str()).increment(1);
}

pub(crate) fn throttled() {
    counter!(THROTTLED).increment(1);
}

/// Counts an open connection while it lives.
pub(crate) struct ConnectionOpen(());

impl ConnectionOpen {
    pub(crate) fn new() -> Self {
        gauge!(CONNECTIONS).increment(1);
        Self(())
    }
}

impl Drop for ConnectionOpen {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1);
    }
}

/// Counts a live publisher while it lives.
pub(crate) struct PublisherLive(Protocol);

impl PublisherLive {
    pub(crate) fn new(protocol: Protocol) -> Self {
        gauge!(PUBLISHERS, "protocol" => protocol.as_str()).increment(1);
        Self(protocol)
    }
}

impl Drop for PublisherLive {
    fn drop(&mut self) {
        gauge!(PUBLISHERS, "protocol" => self.0.as_str()).decrement(1);
    }
}
