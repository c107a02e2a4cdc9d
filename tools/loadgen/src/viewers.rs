//! `loadgen viewers`: many viewers on one broadcast of a server that runs already.
//!
//! In → Out: a URL and a number → lateness, stalls, bytes, errors, as text or JSON; with `--soak`, a line each minute.
//! A few reference viewers judge the wire contract in depth; all others count bytes and time.
//! Spec: none; our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use media::Delta;
use serde::Serialize;
use testkit::viewer::{Config, Tally};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::fanout::{spawn_guide, wait_for};
use crate::light::{Course, Guide, LightSums};
use crate::process;
use crate::report::Report;
use crate::swarm::{Plan, Probing, Swarm};
use crate::target::Target;
use crate::watch::{Watcher, clock_offset};

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The watch page (http://HOST/b/ID) or the playlist of a broadcast that is live.
    #[arg(long)]
    pub url: String,
    /// How many viewers.
    #[arg(long, default_value_t = 1_000)]
    pub count: usize,
    /// How long they watch, from the first one's coming.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// New viewers a second.
    #[arg(long, default_value_t = 500)]
    pub ramp: u32,
    /// One in so many is a reference viewer that reads everything.
    #[arg(long, default_value_t = 100)]
    pub deep_every: usize,
    /// Which rendition.
    #[arg(long, default_value = "source")]
    pub rendition: String,
    /// A process (the server's) whose memory and processor time are watched; with it, memory that keeps growing is an error.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Print a line each so many seconds, and at the end the slope of the process's memory.
    #[arg(long, value_name = "SECONDS")]
    pub soak: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Json {
    viewers: usize,
    seconds: f64,
    /// Of the reference viewers.
    deep: Report,
    light: Light,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_slope_bytes_per_hour: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Light {
    bytes: u64,
    segments: u64,
    refused: u64,
    aborted: u64,
    stalls: u64,
}

/// Watches, prints, and fails on conformance errors or if nobody saw a picture.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let files = process::raise_file_limit();
    if args.count as u64 * 2 + 100 > files {
        bail!(
            "{} viewers need {} open files but the machine allows {files}",
            args.count,
            args.count * 2 + 100
        );
    }
    let target = Arc::new(Target::parse(&args.url, None).await?);
    let clock = Clock::new(clock_offset(&target).await.unwrap_or(Delta::ZERO));
    let guide = Arc::new(Guide::default());
    let guiding = spawn_guide(Arc::clone(&target), Arc::clone(&guide), clock);
    wait_for(&guide).await?;
    let folder = target
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let folder = folder
        .strip_suffix(&format!("/{}", args.rendition))
        .unwrap_or(folder);
    let plan = Plan {
        address: target.address,
        authority: target.authority.clone(),
        course: Course::Segments(format!("{folder}/{}/", args.rendition)),
        ramp: args.ramp,
        probe_every: 0,
        probing: Probing::Stamps,
        segment: Duration::from_secs(2),
    };
    let swarm = Swarm::spawn(plan, guide, clock)?;
    let deep = args.count.div_ceil(args.deep_every.max(1));
    swarm.grow(args.count.saturating_sub(deep));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut tasks = spawn_deep(&args, deep, &target, &tally, clock);
    let (light, samples, elapsed) = observe(&args, &swarm, &tally).await;
    tasks.shutdown().await;
    guiding.abort();
    swarm.stop();
    let tally = tally.lock().await;
    print(&args, &tally, &light, &samples, elapsed)?;
    if tally.joined == 0 {
        bail!("no picture came from {}", args.url);
    }
    if tally.fault_count > 0 {
        bail!("{} conformance errors", tally.fault_count);
    }
    Ok(())
}

fn spawn_deep(
    args: &Args,
    deep: usize,
    target: &Arc<Target>,
    tally: &Arc<Mutex<Tally>>,
    clock: Clock,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    // Over the same time as the others come.
    let every = u32::try_from(args.deep_every).unwrap_or(u32::MAX);
    let ramp = Duration::from_secs_f64(f64::from(every) / f64::from(args.ramp.max(1)));
    for number in 0..deep {
        let mut config = Config::new(target.path.clone());
        config.rendition = Some(args.rendition.clone());
        let (target, tally) = (Arc::clone(target), Arc::clone(tally));
        tasks.spawn(async move {
            tokio::time::sleep(ramp * u32::try_from(number).unwrap_or(u32::MAX)).await;
            let mut watcher = Watcher::new(target, config, clock, None);
            while let Some(fact) = watcher.next_fact().await {
                tally.lock().await.record(&fact);
            }
        });
    }
    tasks
}

/// Time and memory of the watched process.
type Sample = (f64, f64);

async fn observe(
    args: &Args,
    swarm: &Swarm,
    tally: &Mutex<Tally>,
) -> (LightSums, Vec<Sample>, f64) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(args.seconds);
    let step = Duration::from_secs(args.soak.unwrap_or(args.seconds).max(1));
    let mut sums = LightSums::default();
    let mut samples = Vec::new();
    while Instant::now() < end {
        let wait = step.min(end.saturating_duration_since(Instant::now()));
        tokio::time::sleep(wait).await;
        let seen = swarm.take();
        sums.add(&seen.sums);
        for error in swarm.take_errors() {
            crate::note(&error);
        }
        let elapsed = begin.elapsed().as_secs_f64();
        let memory = args.pid.and_then(|pid| process::memory(pid).ok());
        #[expect(clippy::cast_precision_loss, reason = "for a slope")]
        samples.extend(memory.map(|memory| (elapsed, memory as f64)));
        if args.soak.is_some() {
            let tally = tally.lock().await;
            let late = tally.lateness.percentiles();
            crate::note(&format!(
                "{elapsed:8.0} s  {} viewers  late p99 {:.1} ms  {} stalls  {} refused  {} cut  {} errors  server {} kB",
                swarm.connected(),
                late.p99,
                sums.stalls + tally.stalls,
                sums.refused,
                sums.aborted,
                tally.fault_count,
                memory.unwrap_or(0) / 1_000,
            ));
        }
    }
    (sums, samples, begin.elapsed().as_secs_f64())
}

fn print(
    args: &Args,
    tally: &Tally,
    light: &LightSums,
    samples: &[Sample],
    seconds: f64,
) -> anyhow::Result<()> {
    let report = Report::from(tally);
    // The first fifth is warming up.
    let slope = slope(&samples[samples.len() / 5..]).map(|slope| slope * 3_600.0);
    if args.json {
        let json = Json {
            viewers: args.count,
            seconds,
            deep: report,
            light: Light {
                bytes: light.bytes,
                segments: light.segments,
                refused: light.refused,
                aborted: light.aborted,
                stalls: light.stalls,
            },
            memory_slope_bytes_per_hour: slope,
        };
        crate::print(&serde_json::to_string(&json)?);
        return Ok(());
    }
    let text = format!(
        "{} viewers for {seconds:.0} s\n{}\nothers        {} bytes, {} segments, {} stalls, {} refused, {} cut{}",
        args.count,
        report.text(),
        light.bytes,
        light.segments,
        light.stalls,
        light.refused,
        light.aborted,
        slope.map_or(String::new(), |slope| format!(
            "
memory        {:+.1} MB an hour",
            slope / 1e6
        )),
    );
    crate::print(&text);
    Ok(())
}

/// Least squares; `None` with fewer than three samples.
fn slope(samples: &[Sample]) -> Option<f64> {
    if samples.len() < 3 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let count = samples.len() as f64;
    let mean_x = samples.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = samples.iter().map(|(_, y)| y).sum::<f64>() / count;
    let over: f64 = samples
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let under: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let samples: Vec<Sample> = (0..10)
            .map(|x| (f64::from(x), 5.0 + 3.0 * f64::from(x)))
            .collect();
        assert!((slope(&samples).unwrap() - 3.0).abs() < 1e-9);
        assert_eq!(slope(&samples[..2]), None);
    }
}
