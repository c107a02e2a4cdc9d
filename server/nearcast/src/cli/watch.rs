//! `nearcast watch`: a viewer without a screen.
//!
//! In → Out: a watch page's or a playlist's URL → join time, chunk lateness, stalls, bytes and conformance errors.
//! A broken promise of the wire contract makes the exit code 1, so that scripts may judge a server with it.
//! Spec: design "Playlists", "Segments", "The player".

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use loadgen::clock::Clock;
use loadgen::report::Report;
use loadgen::target::Target;
use loadgen::watch::{Watcher, clock_offset};
use media::Delta;
use testkit::viewer::{Config, Fact, PlayoutConfig, Tally};

/// How often the line of numbers is drawn anew.
const REFRESH: Duration = Duration::from_millis(500);

/// Watch a broadcast without a screen and report what a viewer gets.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The watch page (http://HOST/b/ID) or the playlist (http://HOST/live/ID/index.m3u8).
    pub(crate) url: String,
    /// Stop after so many seconds; without it, at the end of the broadcast or at Ctrl-C.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
    /// Print one JSON object at the end instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which rendition, such as 480p; otherwise the first that is listed.
    #[arg(long)]
    pub(crate) rendition: Option<String>,
    /// Milliseconds of media that the play-out model wants ahead.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub(crate) buffer: u64,
    /// Count holes in media time as errors too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Certificates to trust instead of the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

/// Watches until the time limit, the end of the broadcast or Ctrl-C; fails on conformance errors, or if no picture came.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let target = Arc::new(Target::parse(&args.url, args.trust.as_deref()).await?);
    let offset = clock_offset(&target).await;
    let mut config = Config::new(target.path.clone());
    config.rendition.clone_from(&args.rendition);
    config.playout = PlayoutConfig {
        buffer: media::Duration::from_millis(args.buffer),
        ..PlayoutConfig::default()
    };
    let clock = Clock::new(offset.unwrap_or(Delta::ZERO));
    let watcher = Watcher::new(Arc::clone(&target), config, clock, None);
    let begin = Instant::now();
    let tally = watch(watcher, &args, begin).await;
    print(&args, &tally, offset, begin.elapsed())?;
    judge(&args, &tally)
}

async fn watch(mut watcher: Watcher, args: &Args, begin: Instant) -> Tally {
    let mut tally = Tally::default();
    let terminal = std::io::stderr().is_terminal();
    let limit = args.seconds.map_or(
        Duration::from_secs(u64::from(u32::MAX)),
        Duration::from_secs_f64,
    );
    let limit = tokio::time::sleep(limit);
    tokio::pin!(limit);
    let mut refresh = tokio::time::interval(REFRESH);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        tokio::select! {
            fact = watcher.next_fact() => match fact {
                Some(fact) => {
                    if !matches!(fact, Fact::Chunk { .. } | Fact::Segment(_)) {
                        note(&fact, begin, terminal);
                    }
                    tally.record(&fact);
                }
                None => break,
            },
            _ = refresh.tick(), if terminal => draw(&tally, begin),
            () = &mut limit => break,
            _ = &mut interrupt => break,
        }
    }
    if terminal {
        // The terminal is the last place to fail over.
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
    tally
}

/// Says what is worth a line of its own, as it happens.
fn note(fact: &Fact, begin: Instant, terminal: bool) {
    let text = match fact {
        Fact::Joined(after) => format!("first picture after {} ms", after.as_millis()),
        Fact::Stalled(length) => format!("stalled for {} ms", length.as_millis()),
        Fact::Jumped(length) => {
            format!("skipped {} ms to come back to the edge", length.as_millis())
        }
        Fact::Gap {
            segment,
            track,
            length,
        } => format!(
            "{segment}: track {track} has a hole of {} ms",
            length.as_millis()
        ),
        Fact::Epoch { from, to } => format!("epoch {from} is over, {to} begins"),
        Fact::Aborted(segment) => format!("{segment} was cut off"),
        Fact::Resync(surprise) => format!("reading the playlist again: {surprise:?}"),
        Fact::Ended => "the broadcast is over".to_owned(),
        Fact::Fault(fault) => format!("CONFORMANCE {fault}"),
        Fact::Chunk { .. } | Fact::Segment(_) => return,
    };
    let clear = if terminal { "\r\x1b[2K" } else { "" };
    let _ = writeln!(
        std::io::stderr(),
        "{clear}{:8.3} s  {text}",
        begin.elapsed().as_secs_f64()
    );
}

fn draw(tally: &Tally, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    let report = Report::from(tally);
    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    let rate = report.bytes as f64 * 8.0 / 1_000.0 / seconds.max(0.001);
    let _ = write!(
        std::io::stderr(),
        "\r\x1b[2K{seconds:7.1} s  late p50 {:.1} p99 {:.1} ms  delay {:.0} ms  {} stalls  {rate:.0} kb/s  {} errors",
        report.lateness_ms.p50,
        report.lateness_ms.p99,
        report.play_delay_ms.p50,
        report.stalls,
        report.fault_count,
    );
}

#[derive(serde::Serialize)]
struct Json<'a> {
    url: &'a str,
    seconds: f64,
    /// How far the server's clock is ahead; null if it does not tell the time.
    clock_offset_ms: Option<f64>,
    #[serde(flatten)]
    report: Report,
}

fn print(
    args: &Args,
    tally: &Tally,
    offset: Option<Delta>,
    elapsed: Duration,
) -> anyhow::Result<()> {
    let report = Report::from(tally);
    let text = if args.json {
        #[expect(clippy::cast_precision_loss, reason = "for printing")]
        let clock_offset_ms = offset.map(|offset| offset.as_nanos() as f64 / 1e6);
        serde_json::to_string(&Json {
            url: &args.url,
            seconds: elapsed.as_secs_f64(),
            clock_offset_ms,
            report,
        })?
    } else {
        report.text()
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn judge(args: &Args, tally: &Tally) -> anyhow::Result<()> {
    if tally.joined == 0 {
        bail!("no picture came from {}: is the broadcast live?", args.url);
    }
    let errors = tally.fault_count + if args.strict { tally.gaps } else { 0 };
    if errors > 0 {
        bail!("{errors} conformance errors");
    }
    Ok(())
}
