//! Logging and metrics of the process: set up once, here and nowhere else.
//!
//! In → Out: `tracing` events → stderr as text or JSON; `metrics` → Prometheus text for `/metrics`; panics → the log.
//! Spec: Prometheus text exposition format 0.0.4.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};
use crate::metric_names;

/// What the running process may still change, and read, of its telemetry.
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    prometheus: PrometheusHandle,
}

/// Bounds of latency histograms, in seconds: from the origin's share of a fan-out to a slow request.
const SECONDS_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// How often histograms are folded while nobody asks for them, so that they do not grow.
const UPKEEP: Duration = Duration::from_secs(5);

impl Telemetry {
    /// Installs the subscriber, the recorder and the panic hook.
    pub(crate) fn install(log: &Log) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(parse(log)?);
        let lines = match log.format {
            LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().boxed(),
            LogFormat::Text => fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .context("logging cannot be set up")?;
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(
                place,
                message = panic.payload_as_str().unwrap_or("?"),
                "a task failed"
            );
        }));

        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
            .context("histogram bounds are wrong")?
            .build_recorder();
        let prometheus = recorder.handle();
        metrics::set_global_recorder(recorder).context("metrics cannot be set up")?;
        metric_names::describe();
        Ok(Self {
            filter: handle,
            prometheus,
        })
    }

    /// Takes a new filter; the format stays.
    pub(crate) fn reconfigure(&self, log: &Log) -> anyhow::Result<()> {
        self.filter
            .reload(parse(log)?)
            .context("the log filter cannot be replaced")
    }

    /// All metrics as Prometheus text.
    pub(crate) fn scrape(&self) -> String {
        self.prometheus.render()
    }

    /// Folds histograms until the task is dropped.
    pub(crate) async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

fn parse(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.filter).with_context(|| {
        format!(
            "`log.filter` is no filter: `{}` (try \"info\" or \"info,ingest=debug\")",
            log.filter
        )
    })
}
