//! `loadgen transcode`: what rungs cost: processor time, delay, the wait for a cold one, bytes of the container.
//!
//! In → Out: the server's binary → two tables, beside ffmpeg alone that makes the same ladder from the same file.
//! The publisher sends a made file as it is, at its own speed, so that no other encoder runs. One reader follows each
//! rendition; their chunks are compared by media time, on one clock.
//! Spec: design "Numbers to reach" (renditions); bench/README.md, "Transcode".

mod arrivals;
mod table;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use media::Delta;
use serde::Serialize;
use testkit::viewer::{Config, PlayoutConfig};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::process;
use crate::report::Times;
use crate::server::{self, Running};
use crate::target::Target;
use crate::watch::Watcher;
use arrivals::Arrivals;

/// One run of the bench.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The server's binary; otherwise the one beside this program.
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..))]
    pub seconds: u64,
    /// Seconds for which ffmpeg alone makes the same ladder.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..))]
    pub floor_seconds: u64,
    /// How often a cold rung is asked for.
    #[arg(long, default_value_t = 6)]
    pub starts: u32,
    /// The published picture, 30 a second: 480p and 240p are made of it.
    #[arg(long, default_value = "1280x720")]
    pub size: String,
    /// How much noise is in it, 0 to 100: more costs an encoder more.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub noise: u32,
    /// Options of x264, for the server and for ffmpeg alone; the server's own if absent.
    #[arg(long, allow_hyphen_values = true)]
    pub encoder_options: Option<String>,
    /// The ffmpeg that publishes, and encodes.
    #[arg(long, default_value = "ffmpeg")]
    pub ffmpeg: PathBuf,
    /// Print JSON instead of the tables.
    #[arg(long)]
    pub json: bool,
}

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    /// Processors that the encoder keeps busy, the server, and ffmpeg alone.
    encoder_cores: f64,
    server_cores: f64,
    floor_cores: f64,
    renditions: Vec<Rendition>,
    /// From the request to a rung's first chunk.
    start_ms: Times,
    /// From the request to the moment when the rung has come as far as the source.
    level_ms: Times,
    surprises: Vec<String>,
}

/// One rendition.
#[derive(Clone, Debug, Serialize)]
struct Rendition {
    name: &'static str,
    kbps: f64,
    chunks_per_second: f64,
    overhead_percent: f64,
    /// After the source's chunk of the same time; `None` for what is not encoded.
    added_ms: Option<Times>,
}

const RENDITIONS: [&str; 4] = ["source", "480p", "240p", "audio"];
/// What the server's `[transcode] encoder_options` are unless they are set.
const ENCODER_OPTIONS: &str = "-preset superfast -tune zerolatency -crf 23";
/// Seconds between key frames of the file, and seconds of the file.
const GOP: u32 = 2;
const FILE: u32 = 20;
/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The publisher's start is not measured.
const SETTLE: Duration = Duration::from_secs(6);
/// Longer than the pictures last that may share a chunk.
const JOINED: media::Duration = media::Duration::from_millis(150);
/// How long a rung goes on without readers, while cold starts are measured: longer than a request waits for a key frame.
const IDLE: (&str, &str) = ("NEARCAST_TRANSCODE_IDLE", "4s");

/// Measures, and prints the tables.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let folder = Scratch::new()?;
    let bench = Bench {
        file: folder.0.join("source.flv"),
        clock: Clock::new(Delta::ZERO),
        args,
    };
    crate::note("making the source");
    bench.make_file().await?;
    let mut measured = Measured::default();
    crate::note("rungs of a live broadcast");
    bench.live(&mut measured).await?;
    crate::note("ffmpeg alone, from the file");
    measured.floor_cores = bench.floor().await?;
    if bench.args.starts > 0 {
        crate::note("cold rungs");
        bench.starts(&mut measured).await?;
    }
    if bench.args.json {
        crate::print(&serde_json::to_string_pretty(&measured)?);
    } else {
        crate::print(&table::render(&measured));
    }
    Ok(())
}

struct Bench {
    args: Args,
    file: PathBuf,
    clock: Clock,
}

/// A server with a publisher.
struct Broadcast {
    running: Running,
    _publisher: Child,
}

impl Bench {
    fn options(&self) -> &str {
        self.args
            .encoder_options
            .as_deref()
            .unwrap_or(ENCODER_OPTIONS)
    }

    fn ffmpeg(&self, line: &str) -> Command {
        let mut command = Command::new(&self.args.ffmpeg);
        command
            .args("-hide_banner -loglevel error -nostdin".split(' '))
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A moving picture with some noise, and a tone: H.264 at 2.5 Mb/s and AAC.
    async fn make_file(&self) -> anyhow::Result<()> {
        let (size, noise, keys) = (&self.args.size, self.args.noise, GOP * 30);
        let line = format!(
            "-f lavfi -i testsrc2=size={size}:rate=30,noise=alls={noise}:allf=t -f lavfi -i sine=frequency=440:sample_rate=48000 \
             -t {FILE} -pix_fmt yuv420p -c:v libx264 -preset superfast -tune zerolatency -bf 0 -g {keys} -sc_threshold 0 \
             -b:v 2500k -maxrate 2500k -bufsize 1250k -c:a aac -b:a 128k -f flv"
        );
        let status = self.ffmpeg(&line).arg(&self.file).status().await;
        let status =
            status.with_context(|| format!("{} cannot be run", self.args.ffmpeg.display()))?;
        anyhow::ensure!(status.success(), "ffmpeg did not make the source");
        Ok(())
    }

    fn broadcast(&self, settings: &[(&str, &str)]) -> anyhow::Result<Broadcast> {
        let binary = match &self.args.server {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()?.with_file_name("nearcast"),
        };
        let ffmpeg = self.args.ffmpeg.to_string_lossy();
        let mut all = vec![
            ("NEARCAST_LOG_FILTER", "warn"),
            ("NEARCAST_TRANSCODE_FFMPEG", &*ffmpeg),
            ("NEARCAST_TRANSCODE_ENCODER_OPTIONS", self.options()),
        ];
        all.extend(settings);
        let running = server::nearcast(&binary, &all, &process::processors())?;
        let publisher = self
            .ffmpeg("-re -stream_loop -1 -i")
            .arg(&self.file)
            .args("-c copy -flush_packets 1 -flvflags no_duration_filesize -f flv".split(' '))
            .arg(format!("rtmp://{}/live/bench", running.rtmp))
            .spawn()?;
        Ok(Broadcast {
            running,
            _publisher: publisher,
        })
    }

    async fn live(&self, measured: &mut Measured) -> anyhow::Result<()> {
        let broadcast = self.broadcast(&[])?;
        let server = broadcast.running.pid();
        let mut readers = Vec::new();
        for name in RENDITIONS {
            readers.push(self.reader(&broadcast, name).await?);
        }
        for reader in &readers {
            let begun = || reader.arrivals(|seen| seen.newest().is_some());
            wait(&format!("the rendition {}", reader.name), begun).await?;
        }
        tokio::time::sleep(SETTLE).await;
        let encoder = process::children(server);
        for reader in &readers {
            reader.arrivals(Arrivals::clear);
        }
        let used = |pids: &[u32]| -> anyhow::Result<Duration> {
            pids.iter().map(|pid| process::cpu_time(*pid)).sum()
        };
        let begin = (Instant::now(), used(&encoder)?, process::cpu_time(server)?);
        tokio::time::sleep(Duration::from_secs(self.args.seconds)).await;
        let elapsed = begin.0.elapsed();
        if encoder.is_empty() || process::children(server) != encoder {
            bail!("the encoder did not run through: the log is not kept, run the server by hand");
        }
        let cores = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64()
        };
        measured.encoder_cores = cores(begin.1, used(&encoder)?);
        measured.server_cores = cores(begin.2, process::cpu_time(server)?);
        let source = readers[0].arrivals(|seen| seen.clone());
        for reader in &readers {
            let seen = reader.arrivals(|seen| seen.clone());
            let said = |text: &String| format!("{}: {text}", reader.name);
            measured.surprises.extend(seen.surprises.iter().map(said));
            measured
                .renditions
                .push(rendition(reader.name, &seen, &source));
        }
        Ok(())
    }

    /// The same ladder by ffmpeg alone, at the speed of the media.
    async fn floor(&self) -> anyhow::Result<f64> {
        let coder = |map: &str, rate: u32| {
            let (options, half) = (self.options(), rate / 2);
            format!(
                "-map [{map}] -threads 1 -c:v libx264 {options} -b:v {rate} -maxrate {rate} -bufsize {half} \
                 -bf 0 -force_key_frames source -forced-idr 1 -g 9999 -sc_threshold 0 -f flv /dev/null"
            )
        };
        let (large, small) = (coder("large", 1_100_000), coder("small", 400_000));
        let mut child = self
            .ffmpeg("-y -re -stream_loop -1 -threads 1 -i")
            .arg(&self.file)
            .arg("-filter_complex")
            .arg("split=2[a][b];[a]scale=-2:480:flags=fast_bilinear[large];[b]scale=-2:240:flags=fast_bilinear[small]")
            .args(large.split_whitespace())
            .args(small.split_whitespace())
            .spawn()?;
        let pid = child.id().context("ffmpeg ended at once")?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begin = (Instant::now(), process::cpu_time(pid)?);
        tokio::time::sleep(Duration::from_secs(self.args.floor_seconds)).await;
        anyhow::ensure!(child.try_wait()?.is_none(), "ffmpeg alone ended early");
        let used = process::cpu_time(pid)?.saturating_sub(begin.1);
        let cores = used.as_secs_f64() / begin.0.elapsed().as_secs_f64();
        child.kill().await?;
        Ok(cores)
    }

    async fn starts(&self, measured: &mut Measured) -> anyhow::Result<()> {
        let broadcast = self.broadcast(&[IDLE])?;
        let server = broadcast.running.pid();
        let source = self.reader(&broadcast, "source").await?;
        let begun = || source.arrivals(|seen| seen.newest().is_some());
        wait("the broadcast", begun).await?;
        let (mut all, mut level) = (
            testkit::viewer::Times::default(),
            testkit::viewer::Times::default(),
        );
        for number in 0..self.args.starts {
            wait("the rung's end", || process::children(server).is_empty()).await?;
            // Moments all over the GOP, the same in each run.
            let moment = GOP * 1_000 * number / self.args.starts;
            tokio::time::sleep(Duration::from_millis(u64::from(moment))).await;
            let asked = self.clock.now();
            let name = RENDITIONS[1 + number as usize % 2];
            let rung = self.reader(&broadcast, name).await?;
            wait("the rung", || rung.arrivals(|seen| seen.newest().is_some())).await?;
            let first = rung.arrivals(Arrivals::first).context("no chunk came")?;
            all.record(first.since(asked));
            // As far as the source is when it is looked at, give or take the pictures that share a chunk.
            let reached = || {
                let newest = source.arrivals(|seen| seen.newest());
                let here = rung.arrivals(|seen| seen.newest());
                newest
                    .zip(here)
                    .is_some_and(|(source, here)| here + JOINED >= source)
            };
            wait("a rung that is level", reached).await?;
            level.record(self.clock.now().since(asked));
        }
        measured.start_ms = all.percentiles().into();
        measured.level_ms = level.percentiles().into();
        Ok(())
    }

    async fn reader(&self, broadcast: &Broadcast, name: &'static str) -> anyhow::Result<Reader> {
        let path = format!("/live/bench/{name}/index.m3u8?announce=prefetch");
        let url = format!("http://{}{path}", broadcast.running.http);
        let target = Arc::new(Target::parse(&url, None).await?);
        let config = Config {
            path,
            rendition: None,
            playout: PlayoutConfig::default(),
        };
        let mut watcher = Watcher::new(target, config, self.clock, None);
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let seen = Arc::clone(&arrivals);
        let task = tokio::spawn(async move {
            while let Some(fact) = watcher.next_fact().await {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.record(&fact);
            }
        });
        Ok(Reader {
            name,
            arrivals,
            task,
        })
    }
}

/// Follows one rendition until it is dropped.
struct Reader {
    name: &'static str,
    arrivals: Arc<Mutex<Arrivals>>,
    task: JoinHandle<()>,
}

impl Reader {
    fn arrivals<T>(&self, look: impl FnOnce(&mut Arrivals) -> T) -> T {
        look(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn rendition(name: &'static str, seen: &Arrivals, source: &Arrivals) -> Rendition {
    let seconds = seen.seconds().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "for printing")]
    let (bytes, chunks) = (seen.bytes() as f64, seen.chunks() as f64);
    let encoded = !matches!(name, "source" | "audio");
    Rendition {
        name,
        kbps: bytes * 8.0 / 1_000.0 / seconds,
        chunks_per_second: chunks / seconds,
        overhead_percent: seen.overhead(),
        added_ms: encoded.then(|| seen.later_than(source).percentiles().into()),
    }
}

async fn wait(what: &str, mut there: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        anyhow::ensure!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A folder that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let name = format!("nearcast-bench-transcode-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is a temporary file.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
