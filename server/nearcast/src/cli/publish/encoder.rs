//! What ffmpeg is told, and what it tells back.
//!
//! In → Out: the arguments of `nearcast publish` → ffmpeg's command line; its progress and its log → text for people.
//! Spec: ffmpeg documentation, "Codec Options", "libx264", "rtmp", "-progress"; facts of 5.1 are named where they bite.

use std::ffi::OsString;

use super::Args;

/// Refuses what cannot work before anything is started.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    if !args.to.starts_with("rtmp://") && !args.to.starts_with("rtmps://") {
        anyhow::bail!(
            "--to takes rtmp://HOST/live/NAME or rtmps://…, not '{}'",
            masked(&args.to)
        );
    }
    if let Some(file) = &args.file
        && let Err(error) = std::fs::metadata(file)
    {
        anyhow::bail!("{} cannot be read: {error}", file.display());
    }
    if !(0.1..=60.0).contains(&args.gop) {
        anyhow::bail!("--gop is between 0.1 and 60 seconds");
    }
    if args.bframes > 16 {
        anyhow::bail!("--bframes is at most 16");
    }
    if args
        .seconds
        .is_some_and(|seconds| !(0.1..=1e7).contains(&seconds))
    {
        anyhow::bail!("--seconds is at least 0.1");
    }
    Ok(())
}

/// The whole command line after the program's name.
pub(super) fn arguments(args: &Args) -> Vec<OsString> {
    let mut list: Vec<OsString> =
        words("-hide_banner -loglevel warning -nostats -stats_period 0.5 -progress pipe:1");
    match &args.file {
        None => {
            // Everything is known from the header: nothing needs probing. "-fflags nobuffer" would drop the probed frame.
            list.extend(words(
                "-f matroska -analyzeduration 0 -probesize 4096 -fpsprobesize 0 -i pipe:0",
            ));
        }
        Some(file) => {
            list.extend(words("-re"));
            if args.repeat {
                list.extend(words("-stream_loop -1"));
            }
            list.push("-i".into());
            list.push(file.into());
            if let Some(seconds) = args.seconds {
                list.extend(words(&format!("-t {seconds}")));
            }
        }
    }
    list.extend(words("-map 0:v:0?"));
    list.extend(words(if args.no_audio { "-an" } else { "-map 0:a:0?" }));
    if args.copy {
        list.extend(words("-c copy"));
    } else {
        list.extend(words(&video(args)));
        list.extend(words("-c:a aac -b:a 96k -ar 48000 -ac 2"));
    }
    // The RTMP option sends small writes at once; a packet is flushed as soon as it is made.
    list.extend(words(
        "-flush_packets 1 -flvflags no_duration_filesize -rtmp_live live -tcp_nodelay 1 -f flv",
    ));
    list.push((&args.to).into());
    list
}

fn video(args: &Args) -> String {
    let rate = args.fps;
    let source_fps = f64::from(rate.numerator) / f64::from(rate.denominator);
    // Sliced threads cost bits and wake-ups; one thread encodes small pictures in a few milliseconds.
    let small = args.file.is_none() && args.size.height.min(args.size.width) <= 480;
    let threads = u8::from(small);
    let keyint = (args.gop * source_fps).round().max(1.0);
    let timing = if args.file.is_none() {
        // Times come from the pattern; the encoder's clock must be its exact frame rate, or 29.97 drifts by rounding.
        format!(
            "-r {}/{} -g {keyint} -keyint_min {keyint}",
            rate.numerator, rate.denominator
        )
    } else {
        format!(
            "-force_key_frames expr:gte(t,n_forced*{}) -g 9999",
            args.gop
        )
    };
    let (bitrate, buffer) = (args.bitrate, args.bitrate * 2 / 5);
    let reorder = args.bframes;
    format!(
        "-c:v libx264 -preset {} -tune zerolatency -profile:v high -pix_fmt yuv420p -threads {threads} -bf {reorder} {timing} \
         -sc_threshold 0 -b:v {bitrate} -maxrate {bitrate} -bufsize {buffer}",
        args.preset
    )
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// The target without the secret that its last component may be.
pub(super) fn masked(target: &str) -> String {
    let plain = target.split('?').next().unwrap_or(target);
    match plain.rsplit_once('/') {
        Some((front, name)) if name.len() > 12 => {
            format!("{front}/{}…", name.chars().take(4).collect::<String>())
        }
        _ => plain.to_owned(),
    }
}

/// Why ffmpeg ended early, from the end of its log, in words that say what to do.
pub(super) fn explain(log: &[String], target: &str) -> String {
    let find = |needle: &str| log.iter().rev().find(|line| line.contains(needle));
    if let Some(line) = find("Server error:") {
        let reason = line
            .split_once("Server error:")
            .map_or("", |(_, reason)| reason.trim());
        return format!("the server refused the publisher: {reason}");
    }
    if find("Connection refused").is_some() {
        return format!(
            "nothing answers at {target}: is the server running, and is this its RTMP address?"
        );
    }
    if find("resolve").is_some() {
        return format!("the host of {target} is not known");
    }
    if find("Unknown encoder").is_some() {
        return "this ffmpeg has no libx264 or no AAC encoder: install a complete build (Debian: apt install ffmpeg)".to_owned();
    }
    let lost = [
        "Broken pipe",
        "Connection reset",
        "Connection timed out",
        "Input/output error",
        "End of file",
    ];
    if lost.into_iter().any(|needle| find(needle).is_some()) {
        return format!(
            "the connection to {target} was lost, or the server closed it\n{}",
            log.join("\n")
        );
    }
    format!("ffmpeg ended early:\n{}", log.join("\n"))
}

/// ffmpeg's own account of its work so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    frames: u64,
    bytes: u64,
    micros: u64,
}

impl Progress {
    /// Takes one `key=value` line; `true` when a report is complete.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.split_once('=') else {
            return false;
        };
        let number = value.trim().parse().ok();
        match key {
            "frame" => self.frames = number.unwrap_or(self.frames),
            "total_size" => self.bytes = number.unwrap_or(self.bytes),
            "out_time_us" => self.micros = number.unwrap_or(self.micros),
            "progress" => return true,
            _ => {}
        }
        false
    }

    /// The refreshing line.
    pub(super) fn line(&self, skipped: u64) -> String {
        let seconds = self.micros / 1_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let late = if skipped == 0 {
            String::new()
        } else {
            format!(", {skipped} frames left out")
        };
        format!(
            "{hours:02}:{minutes:02}:{:02}  {} frames, {} kb/s{late}",
            seconds % 60,
            self.frames,
            self.bitrate_kbps()
        )
    }

    /// The last line.
    pub(super) fn finished(&self, skipped: u64) -> String {
        format!("published {}", self.line(skipped))
    }

    fn bitrate_kbps(&self) -> u64 {
        (self.bytes * 8_000).checked_div(self.micros).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_servers_reason_is_what_the_person_reads() {
        let log = lines(
            "[rtmp @ 0x1] Server error: no such stream key\nrtmp://x: Operation not permitted",
        );
        assert_eq!(
            explain(&log, "rtmp://h/live/x"),
            "the server refused the publisher: no such stream key"
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_said_so() {
        let log = lines(
            "[rtmp @ 0x1] Cannot open connection tcp://127.0.0.1:1?tcp_nodelay=1\nrtmp://h/live/x: Connection refused",
        );
        assert!(explain(&log, "rtmp://h/live/x").starts_with("nothing answers at rtmp://h/live/x"));
    }

    #[test]
    fn unknown_ends_show_the_log() {
        assert!(explain(&lines("something odd"), "rtmp://h/live/x").contains("something odd"));
    }

    #[test]
    fn stream_keys_are_not_printed() {
        assert_eq!(
            masked("rtmp://h/live/sk_0123456789abcdef"),
            "rtmp://h/live/sk_0…"
        );
        assert_eq!(
            masked("rtmp://h/live/demo?key=secret"),
            "rtmp://h/live/demo"
        );
    }

    #[test]
    fn progress_is_read_as_ffmpeg_writes_it() {
        let mut progress = Progress::default();
        for line in [
            "frame=90",
            "total_size=450000",
            "out_time_us=3000000",
            "speed=1.0x",
        ] {
            assert!(!progress.take(line));
        }
        assert!(progress.take("progress=continue"));
        assert_eq!(progress.line(0), "00:00:03  90 frames, 1200 kb/s");
    }
}
