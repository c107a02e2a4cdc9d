//! `loadgen fanout`: viewers against processor time and lateness, beside two yardsticks in the same run.
//!
//! In → Out: the server's binary → a table: the server at a chunk per picture and at a chunk each 100 ms, a bare loop of
//! `send()` at the same chunk size and cadence, nginx with the same bytes as files.
//! The server under test has one processor, everything else has the others. Lateness is from the publisher's `write` to the
//! viewer's `read`; it holds two passages of the loopback and the viewer's wake-up beside the server's share.
//! Spec: design "Numbers to reach" (fan-out, the origin's share).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use media::Delta;
use serde::Serialize;
use testkit::synthetic::Settings;
use testkit::viewer::Config;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::light::{Course, Guide};
use crate::process;
use crate::publish::{Publishing, publish};
use crate::report::Times;
use crate::server::{self, Running};
use crate::swarm::{Plan, Probing, Swarm};
use crate::target::Target;
use crate::watch::Watcher;

/// One run of the bench.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The server's binary; otherwise the one beside this program.
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// Numbers of viewers, growing.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "500,1000,2000,3000,4000,5000"
    )]
    pub viewers: Vec<usize>,
    /// Seconds that are measured at each number.
    #[arg(long, default_value_t = 6)]
    pub seconds: u64,
    /// Seconds after a growth that are not measured.
    #[arg(long, default_value_t = 4)]
    pub settle: u64,
    /// New viewers a second.
    #[arg(long, default_value_t = 1_000)]
    pub ramp: u32,
    /// Bits a second of the broadcast.
    #[arg(long, default_value_t = 600_000)]
    pub bitrate: u64,
    /// Readers of stamps among the viewers, at most.
    #[arg(long, default_value_t = 64)]
    pub probes: usize,
    /// A column is over when the 99th percentile of lateness passes this many milliseconds.
    #[arg(long, default_value_t = 250)]
    pub late_max: u64,
    /// Which rows: server, server100, floor, floor100, nginx.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "server,floor,server100,floor100,nginx"
    )]
    pub rows: Vec<String>,
    /// Print JSON instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// One measured step.
#[derive(Clone, Debug, Serialize)]
struct Step {
    row: String,
    viewers: usize,
    /// Processor time per time of the server under test.
    cpu: f64,
    /// What one processor would carry at this cost a viewer.
    viewers_per_core: f64,
    /// Resident memory a viewer, above that without viewers.
    memory_per_viewer: f64,
    lateness_ms: Times,
    kbps_per_viewer: f64,
    stalls: u64,
    refused: u64,
    aborted: u64,
}

/// Pictures a second.
const RATE: u64 = 30;
/// The bench's segments.
const SEGMENT: Duration = Duration::from_secs(2);
/// Files that nginx serves in turn.
const FILES: u64 = 8;

/// Runs all rows and prints the table.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let files = process::raise_file_limit();
    let processors = process::processors();
    let (first, others) = processors.split_first().context("no processor")?;
    let others = if others.is_empty() {
        std::slice::from_ref(first)
    } else {
        others
    };
    process::bind(others)?;
    let bench = Bench {
        server_cpu: vec![*first],
        clock: Clock::new(Delta::ZERO),
        files,
        args,
    };
    let mut steps = Vec::new();
    let rows = bench.args.rows.clone();
    for row in &rows {
        eprintln_row(row);
        let measured = bench.row(row).await.with_context(|| format!("row {row}"))?;
        steps.extend(measured);
    }
    if bench.args.json {
        crate::print(&serde_json::to_string_pretty(&steps)?);
    } else {
        crate::print(&table(&steps));
    }
    Ok(())
}

struct Bench {
    args: Args,
    server_cpu: Vec<usize>,
    clock: Clock,
    files: u64,
}

/// A server under test with a swarm on it.
struct Setting {
    running: Running,
    swarm: Swarm,
    /// Without viewers.
    memory: u64,
    tasks: Vec<JoinHandle<()>>,
}

impl Bench {
    async fn row(&self, row: &str) -> anyhow::Result<Vec<Step>> {
        let mut setting = match row {
            "server" => self.nearcast("picture").await?,
            "server100" => self.nearcast("100ms").await?,
            "floor" => self.floor(RATE)?,
            "floor100" => self.floor(10)?,
            "nginx" => self.nginx()?,
            other => anyhow::bail!("no row named '{other}'"),
        };
        let mut steps = Vec::new();
        for viewers in &self.args.viewers {
            // Two connections a viewer on our side, as many on the server's.
            let connections = if row.starts_with("server") { 2 } else { 1 };
            if (*viewers as u64) * connections + 200 > self.files {
                crate::note(&format!(
                    "  {viewers} viewers need more open files than the {} that the machine allows",
                    self.files
                ));
                break;
            }
            let step = self.step(row, &setting, *viewers).await?;
            crate::note(&format!(
                "  {:>6} viewers  cpu {:>5.1} %  late p50 {:.2} p99 {:.2} ms",
                viewers,
                step.cpu * 100.0,
                step.lateness_ms.p50,
                step.lateness_ms.p99
            ));
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            let late = step.lateness_ms.p99 > self.args.late_max as f64;
            steps.push(step);
            if late {
                break;
            }
        }
        for task in setting.tasks.drain(..) {
            task.abort();
        }
        setting.swarm.stop();
        Ok(steps)
    }

    async fn nearcast(&self, chunk: &str) -> anyhow::Result<Setting> {
        let binary = match &self.args.server {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()?.with_file_name("nearcast"),
        };
        let settings = [
            ("NEARCAST_PACKAGER_CHUNK", chunk),
            ("NEARCAST_LOG_FILTER", "warn"),
        ];
        let running = server::nearcast(&binary, &settings, &self.server_cpu)?;
        let publishing = Publishing {
            address: running.rtmp,
            name: "bench".to_owned(),
            settings: self.settings(),
            length: None,
        };
        let clock = self.clock;
        let mut tasks = vec![tokio::spawn(async move {
            if let Err(error) = publish(&publishing, clock).await {
                crate::note(&format!("  publisher: {error:#}"));
            }
        })];
        let guide = Arc::new(Guide::default());
        let url = format!("http://{}/b/bench", running.http);
        let target = Arc::new(Target::parse(&url, None).await?);
        tasks.push(spawn_guide(target, Arc::clone(&guide), clock));
        wait_for(&guide).await?;
        let course = Course::Segments("/live/bench/source/".to_owned());
        self.setting(running, course, guide, tasks)
    }

    fn floor(&self, per_second: u64) -> anyhow::Result<Setting> {
        let chunk = usize::try_from(self.args.bitrate / 8 / per_second)?;
        let interval = Duration::from_nanos(1_000_000_000 / per_second);
        let running = server::floor(chunk, interval, &self.server_cpu)?;
        self.setting(
            running,
            Course::Endless("/".to_owned()),
            Arc::default(),
            Vec::new(),
        )
    }

    fn nginx(&self) -> anyhow::Result<Setting> {
        let length = usize::try_from(self.args.bitrate / 8 * SEGMENT.as_secs())?;
        let running = server::nginx(FILES, length, &self.server_cpu)?;
        let course = Course::Files {
            folder: "/files/".to_owned(),
            count: FILES,
            period: SEGMENT,
        };
        self.setting(running, course, Arc::default(), Vec::new())
    }

    fn setting(
        &self,
        running: Running,
        course: Course,
        guide: Arc<Guide>,
        tasks: Vec<JoinHandle<()>>,
    ) -> anyhow::Result<Setting> {
        let largest = self.args.viewers.iter().max().copied().unwrap_or(1);
        let plan = Plan {
            address: running.http,
            authority: running.http.to_string(),
            course,
            ramp: self.args.ramp,
            probe_every: (largest / self.args.probes.max(1)).max(1),
            probing: Probing::Stamps,
            segment: SEGMENT,
        };
        Ok(Setting {
            memory: process::memory(running.pid())?,
            swarm: Swarm::spawn(plan, guide, self.clock)?,
            running,
            tasks,
        })
    }

    async fn step(&self, row: &str, setting: &Setting, viewers: usize) -> anyhow::Result<Step> {
        setting.swarm.grow(viewers);
        while setting.swarm.connected() < viewers {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(self.args.settle)).await;
        for error in setting.swarm.take_errors() {
            crate::note(&format!("  {error}"));
        }
        setting.swarm.take();
        let begin = (
            tokio::time::Instant::now(),
            process::cpu_time(setting.running.pid())?,
        );
        tokio::time::sleep(Duration::from_secs(self.args.seconds)).await;
        let elapsed = begin.0.elapsed().as_secs_f64();
        let used = process::cpu_time(setting.running.pid())?.saturating_sub(begin.1);
        let seen = setting.swarm.take();
        let memory = process::memory(setting.running.pid())?.saturating_sub(setting.memory);
        let cpu = used.as_secs_f64() / elapsed;
        #[expect(clippy::cast_precision_loss, reason = "for printing")]
        let (viewers_f, bytes, memory) = (viewers as f64, seen.sums.bytes as f64, memory as f64);
        Ok(Step {
            row: row.to_owned(),
            viewers,
            cpu,
            viewers_per_core: viewers_f / cpu.max(0.001),
            memory_per_viewer: memory / viewers_f,
            lateness_ms: seen.lateness.percentiles().into(),
            kbps_per_viewer: bytes * 8.0 / 1_000.0 / elapsed / viewers_f,
            stalls: seen.sums.stalls,
            refused: seen.sums.refused,
            aborted: seen.sums.aborted,
        })
    }

    fn settings(&self) -> Settings {
        // Of each picture's share, about 230 bytes are boxes and sound.
        let share = usize::try_from(self.args.bitrate / 8 / RATE).unwrap_or(0);
        Settings {
            picture_bytes: share.saturating_sub(230),
            gop: RATE * SEGMENT.as_secs(),
            ..Settings::default()
        }
    }
}

/// One reference viewer that tells all others where the broadcast is.
pub fn spawn_guide(target: Arc<Target>, guide: Arc<Guide>, clock: Clock) -> JoinHandle<()> {
    tokio::spawn(async move {
        let config = Config::new(target.path.clone());
        let mut watcher = Watcher::new(target, config, clock, None);
        while watcher.next_fact().await.is_some() {
            if let Some(segment) = watcher.viewer().segment() {
                guide.set(segment);
            }
        }
    })
}

/// Waits until a guide knows a segment.
pub async fn wait_for(guide: &Guide) -> anyhow::Result<()> {
    for _ in 0..200 {
        if guide.segment().is_some() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("no broadcast came up within 20 s")
}

fn eprintln_row(row: &str) {
    let text = match row {
        "server" => "nearcast, a chunk per picture",
        "server100" => "nearcast, a chunk each 100 ms",
        "floor" => "a bare loop of send(), a chunk per picture",
        "floor100" => "a bare loop of send(), a chunk each 100 ms",
        "nginx" => "nginx, the same bytes as files of 2 s",
        other => other,
    };
    crate::note(text);
}

/// Markdown, with the floor's ratio where both were measured.
fn table(steps: &[Step]) -> String {
    let mut lines = vec![
        "| | viewers | CPU of a core | viewers a core | of the floor | kB a viewer | late p50 | p99 ms | kb/s a viewer | stalls | refused | cut |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for step in steps {
        let floor = match step.row.as_str() {
            "server" => "floor",
            "server100" => "floor100",
            _ => "",
        };
        // At the same number of viewers; otherwise the best that the floor did.
        let floors = steps.iter().filter(|other| other.row == floor);
        let same = floors.clone().find(|other| other.viewers == step.viewers);
        let best = same.or_else(|| floors.max_by(|a, b| a.viewers.cmp(&b.viewers)));
        let ratio = best.map_or("–".to_owned(), |floor| {
            format!("{:.2}", step.viewers_per_core / floor.viewers_per_core)
        });
        lines.push(format!(
            "| {} | {} | {:.1} % | {:.0} | {ratio} | {:.1} | {:.2} | {:.2} | {:.0} | {} | {} | {} |",
            step.row,
            step.viewers,
            step.cpu * 100.0,
            step.viewers_per_core,
            step.memory_per_viewer / 1_000.0,
            step.lateness_ms.p50,
            step.lateness_ms.p99,
            step.kbps_per_viewer,
            step.stalls,
            step.refused,
            step.aborted,
        ));
    }
    lines.join("\n")
}
