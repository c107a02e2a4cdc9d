//! `nearcast publish`: a publisher for tests and demonstrations; drives an ffmpeg child process.
//!
//! In → Out: the test pattern or a file → H.264 and AAC over RTMP, with the settings that low delay needs.
//! The child is never restarted behind the caller's back: when it ends early, the reason is printed and the exit code is not 0.
//! Spec: ffmpeg 5.1 and later; docs/clock-strip.md for the pattern.

mod encoder;
mod feed;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use testkit::pattern::{FrameRate, Size};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use encoder::{Progress, explain};
use feed::{Feed, FeedState};

/// Lines of ffmpeg's log that are kept to explain how it ended.
const LOG_LINES_KEPT: usize = 40;
/// How long ffmpeg may take to say goodbye once its input has ended.
const GOODBYE_BUDGET: Duration = Duration::from_secs(5);

/// Publish a test pattern or a file over RTMP.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: rtmp://HOST:PORT/live/NAME (1935 without a port), or the publish URL of a broadcast with its stream key.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Publish the test pattern (the default without FILE): wall clock, moving picture, a flash and a beep each second.
    #[arg(long, conflicts_with = "file")]
    pub(crate) pattern: bool,
    /// A media file to publish at its own speed, encoded anew.
    pub(crate) file: Option<PathBuf>,
    /// Begin the file again when it ends.
    #[arg(long = "loop", requires = "file")]
    pub(crate) repeat: bool,
    /// Send the file's H.264 and AAC as they are.
    #[arg(long, requires = "file")]
    pub(crate) copy: bool,
    /// End after so many seconds; without it, at the end of the file or at Ctrl-C.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
    /// Picture size of the pattern.
    #[arg(long, value_name = "WxH", default_value = "640x360", value_parser = parse_size)]
    pub(crate) size: Size,
    /// Frames per second of the pattern: 30, 29.97 or 30000/1001.
    #[arg(long, value_name = "N", default_value = "30", value_parser = parse_rate)]
    pub(crate) fps: FrameRate,
    /// Video bitrate; also the most that the encoder may use over 0.4 s.
    #[arg(long, value_name = "BITS", default_value = "1200k", value_parser = parse_bitrate)]
    pub(crate) bitrate: u64,
    /// Seconds from one key frame to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) gop: f64,
    /// Consecutive B-frames; each adds a frame of delay.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) bframes: u32,
    /// x264 preset.
    #[arg(long, default_value = "superfast")]
    pub(crate) preset: String,
    /// Leave the sound out.
    #[arg(long)]
    pub(crate) no_audio: bool,
    /// The ffmpeg to run.
    #[arg(long, env = "NEARCAST_FFMPEG", default_value = "ffmpeg")]
    pub(crate) ffmpeg: PathBuf,
}

/// Publishes until the end of the source, the time limit or Ctrl-C; fails with the reason when ffmpeg ends before that.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    encoder::check(&args)?;
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new(&args.ffmpeg);
    // A process group of its own, so that Ctrl-C reaches us first and ffmpeg can say goodbye to the server.
    command
        .args(encoder::arguments(&args))
        .stdin(reader)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| not_started(&args, &error))?;
    drop(command);

    let state = Arc::new(FeedState::default());
    let feeder = if args.file.is_none() {
        let feed = Feed {
            size: args.size,
            rate: args.fps,
            length: args.seconds.map(Duration::from_secs_f64),
        };
        let state = Arc::clone(&state);
        tokio::task::spawn_blocking(move || feed.run(writer, &state))
    } else {
        // ffmpeg reads "q" from here as a wish to end.
        let state = Arc::clone(&state);
        tokio::task::spawn_blocking(move || quit_when_asked(writer, &state))
    };
    let log = spawn_log(child.stderr.take());
    let progress = spawn_progress(child.stdout.take(), Arc::clone(&state));
    announce(&args);

    let asked = wait(&mut child, &state).await?;
    state.stop.store(true, Ordering::Relaxed);
    let status = child.wait().await.context("ffmpeg's end is unknown")?;
    let summary = progress.await.unwrap_or_default();
    let log = log.await.unwrap_or_default();
    // The feeder's own error is a closed pipe, and that is only the echo of ffmpeg's end.
    let _ = feeder.await;
    say(&summary.finished(state.skipped.load(Ordering::Relaxed)));
    if status.success() || asked {
        return Ok(());
    }
    bail!("{}", explain(&log.into_lines(), &encoder::masked(&args.to)))
}

/// Waits for the child's end; `true` if it was asked to end.
async fn wait(child: &mut Child, state: &FeedState) -> anyhow::Result<bool> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        status = child.wait() => { status.context("ffmpeg's end is unknown")?; return Ok(false) }
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    state.stop.store(true, Ordering::Relaxed);
    if tokio::time::timeout(GOODBYE_BUDGET, child.wait())
        .await
        .is_err()
    {
        child
            .start_kill()
            .context("ffmpeg does not end and cannot be killed")?;
    }
    Ok(true)
}

fn quit_when_asked(mut pipe: impl Write, state: &FeedState) -> std::io::Result<()> {
    while !state.stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    pipe.write_all(b"q")
}

/// The end of ffmpeg's log.
#[derive(Debug, Default)]
struct Log(VecDeque<String>);

impl Log {
    fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

fn spawn_log(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<Log> {
    tokio::spawn(async move {
        let mut log = Log::default();
        let Some(pipe) = pipe else { return log };
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if log.0.len() == LOG_LINES_KEPT {
                log.0.pop_front();
            }
            log.0.push_back(line);
        }
        log
    })
}

fn spawn_progress(
    pipe: Option<impl AsyncRead + Unpin + Send + 'static>,
    state: Arc<FeedState>,
) -> JoinHandle<Progress> {
    tokio::spawn(async move {
        let mut progress = Progress::default();
        let Some(pipe) = pipe else { return progress };
        let terminal = std::io::stderr().is_terminal();
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if progress.take(&line) && terminal {
                let text = progress.line(state.skipped.load(Ordering::Relaxed));
                // Not being able to show progress is no reason to stop publishing.
                let _ = write!(std::io::stderr(), "\r\x1b[2K{text}");
            }
        }
        if terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
        progress
    })
}

fn announce(args: &Args) {
    let what = match &args.file {
        Some(file) => file.display().to_string(),
        None => format!("the test pattern {}x{}", args.size.width, args.size.height),
    };
    say(&format!(
        "publishing {what} to {} (Ctrl-C ends)",
        encoder::masked(&args.to)
    ));
}

fn say(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn not_started(args: &Args, error: &std::io::Error) -> anyhow::Error {
    let program = args.ffmpeg.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        anyhow::anyhow!(
            "{program} was not found: install ffmpeg 5.1 or later (Debian: apt install ffmpeg) or name it with --ffmpeg"
        )
    } else {
        anyhow::anyhow!("{program} cannot be started: {error}")
    }
}

fn parse_size(text: &str) -> Result<Size, String> {
    let (width, height) = text.split_once('x').ok_or("a size looks like 640x360")?;
    let side = |text: &str, least: u32| match u32::from_str(text) {
        Ok(side) if (least..=4096).contains(&side) && side.is_multiple_of(2) => Ok(side),
        _ => Err("width 160–4096, height 90–4096, both even".to_owned()),
    };
    Ok(Size {
        width: side(width, 160)?,
        height: side(height, 90)?,
    })
}

fn parse_rate(text: &str) -> Result<FrameRate, String> {
    let refuse = || {
        format!("'{text}' is not a frame rate between 1 and 240, such as 30, 29.97 or 30000/1001")
    };
    let rate = if let Some((numerator, denominator)) = text.split_once('/') {
        let number = |text: &str| u32::from_str(text).map_err(|_| refuse());
        FrameRate {
            numerator: number(numerator)?,
            denominator: number(denominator)?,
        }
    } else {
        match text {
            "23.976" | "23.98" => FrameRate {
                numerator: 24_000,
                denominator: 1_001,
            },
            "29.97" => FrameRate {
                numerator: 30_000,
                denominator: 1_001,
            },
            "59.94" => FrameRate {
                numerator: 60_000,
                denominator: 1_001,
            },
            whole => FrameRate {
                numerator: u32::from_str(whole).map_err(|_| refuse())?,
                denominator: 1,
            },
        }
    };
    let valid = rate.denominator > 0
        && rate.numerator >= rate.denominator
        && rate.numerator / rate.denominator <= 240;
    if valid { Ok(rate) } else { Err(refuse()) }
}

fn parse_bitrate(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000.0),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000.0),
        _ => (text, 1.0),
    };
    let value = f64::from_str(digits)
        .map_err(|_| format!("'{text}' is not a bitrate such as 600k or 1.5M"))?
        * factor;
    if !(10_000.0..=200_000_000.0).contains(&value) {
        return Err("a bitrate is between 10k and 200M".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Ok(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_bitrates_are_read_as_people_write_them() {
        assert_eq!(
            parse_size("1280x720"),
            Ok(Size {
                width: 1280,
                height: 720
            })
        );
        assert!(
            parse_size("641x360").is_err()
                && parse_size("640").is_err()
                && parse_size("9000x9000").is_err()
        );
        assert_eq!(
            parse_rate("29.97"),
            Ok(FrameRate {
                numerator: 30_000,
                denominator: 1_001
            })
        );
        assert_eq!(
            parse_rate("60"),
            Ok(FrameRate {
                numerator: 60,
                denominator: 1
            })
        );
        assert!(
            parse_rate("0").is_err() && parse_rate("30/0").is_err() && parse_rate("many").is_err()
        );
        assert_eq!(parse_bitrate("600k"), Ok(600_000));
        assert_eq!(parse_bitrate("1.5M"), Ok(1_500_000));
        assert!(
            parse_bitrate("fast").is_err()
                && parse_bitrate("1").is_err()
                && parse_bitrate("NaN").is_err()
        );
    }
}
