//! The encoder's command line.
//!
//! In → Out: configuration and rungs → ffmpeg's arguments: FLV in on stdin, one FLV out a rung on descriptors 3, 4, ….
//! One decode serves all rungs. Key frames come exactly where the source has them, or on their own where the source's are
//! of no use; stamps are the source's own, and nothing waits: no probing, no lookahead, no B-frames, one thread a coder so that no frame is held for a neighbour.
//! Spec: ffmpeg 5.1 documentation, "Main options", "Video Options", "flv" muxer.

use hls::ladder::Rung;

use media::Scan;

use crate::Config;

/// Where key frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Where the source has them.
    Source,
    /// Two seconds apart, the first picture on.
    Own,
}

/// The descriptor of the first rung's output; the others follow.
pub(crate) const FIRST_OUTPUT: i32 = 3;

pub(crate) fn encode(config: &Config, rungs: &[Rung], keys: Keys, scan: Scan) -> Vec<String> {
    let keys = match keys {
        Keys::Source => "source",
        // A little less than two seconds: stamps are rounded.
        Keys::Own => "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+1.99))",
    };
    let mut arguments = words("-hide_banner -loglevel error -nostdin -nostats");
    // `-fflags nobuffer` is left out on purpose: it loses the probed packets, and with them the whole first GOP.
    arguments.extend(words(
        "-probesize 32 -analyzeduration 0 -fpsprobesize 0 -threads 1 -copyts -f flv -i pipe:0",
    ));
    arguments.extend(words(
        "-filter_threads 1 -filter_complex_threads 1 -filter_complex",
    ));
    arguments.push(graph(rungs, scan));
    for (index, rung) in rungs.iter().enumerate() {
        arguments.extend([
            "-map".to_owned(),
            format!("[v{index}]"),
            "-threads".to_owned(),
            "1".to_owned(),
        ]);
        arguments.extend(["-c:v".to_owned(), config.encoder.clone()]);
        arguments.extend(config.encoder_options.iter().cloned());
        // Half a second of VBV keeps a key frame from filling a slow viewer's link.
        let (rate, buffer) = (rung.bitrate_bps, rung.bitrate_bps / 2);
        arguments.extend(words(&format!(
            "-b:v {rate} -maxrate {rate} -bufsize {buffer}"
        )));
        let (whole, tenth) = (rung.level / 10, rung.level % 10);
        arguments.extend(words(&format!("-profile:v high -level:v {whole}.{tenth}")));
        arguments.extend(words(
            "-bf 0 -forced-idr 1 -g 9999 -sc_threshold 0 -force_key_frames",
        ));
        arguments.push(keys.to_owned());
        arguments.extend(words(
            "-fps_mode passthrough -enc_time_base 1:1000 -flush_packets 1",
        ));
        arguments.extend(words("-flvflags no_duration_filesize -f flv"));
        let descriptor = usize::try_from(FIRST_OUTPUT).unwrap_or_default() + index;
        arguments.push(format!("pipe:{descriptor}"));
    }
    arguments
}

/// The command line that turns one key frame (FLV on stdin) into one JPEG on stdout, at most `width` pixels wide.
pub(crate) fn picture(width: u32, filter: &str) -> Vec<String> {
    let coder = "-frames:v 1 -c:v mjpeg -q:v 5 -pix_fmt yuvj420p -f image2pipe";
    still(width, filter, coder)
}

/// The command line that turns key frames (FLV on stdin) into one animated WebP on stdout, at most `width` pixels wide.
pub(crate) fn preview(width: u32, filter: &str) -> Vec<String> {
    let coder =
        "-fps_mode passthrough -c:v libwebp_anim -quality 50 -compression_level 2 -loop 0 -f webp";
    still(width, filter, coder)
}

fn still(width: u32, filter: &str, coder: &str) -> Vec<String> {
    let mut arguments = words("-hide_banner -loglevel error -nostdin -nostats");
    arguments.extend(words(
        "-probesize 32 -analyzeduration 0 -threads 1 -f flv -i pipe:0 -vf",
    ));
    arguments.push(format!("{filter}scale='min({width},iw)':-2"));
    arguments.extend(words(coder));
    arguments.push("pipe:1".to_owned());
    arguments
}

fn graph(rungs: &[Rung], scan: Scan) -> String {
    let outputs = (0..rungs.len())
        .map(|index| format!("[s{index}]"))
        .collect::<Vec<_>>()
        .concat();
    // Weaving fields into pictures costs one picture of delay.
    let progressive = match scan {
        Scan::Progressive => "",
        Scan::Interlaced => "yadif=deint=interlaced,",
    };
    let split = format!("[0:v]{progressive}split={}{outputs}", rungs.len());
    let scales = rungs.iter().enumerate().map(|(index, rung)| {
        let (width, height) = (rung.width, rung.height);
        format!(
            "[s{index}]scale={width}:{height}:flags=fast_bilinear,setsar=1,format=yuv420p[v{index}]"
        )
    });
    std::iter::once(split)
        .chain(scales)
        .collect::<Vec<_>>()
        .join(";")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::RenditionName;

    #[test]
    fn one_decode_serves_all_rungs_and_each_has_its_own_pipe() {
        let rung = |name, width, height, bitrate_bps| Rung {
            name,
            width,
            height,
            bitrate_bps,
            level: 31,
        };
        let rungs = [
            rung(RenditionName::P480, 854, 480, 1_100_000),
            rung(RenditionName::P240, 426, 240, 400_000),
        ];
        let line = encode(&Config::default(), &rungs, Keys::Source, Scan::Progressive).join(" ");
        assert_eq!(line.matches("-i pipe:0").count(), 1);
        assert!(
            line.contains("[0:v]split=2[s0][s1];[s0]scale=854:480"),
            "{line}"
        );
        assert!(
            line.contains("-bufsize 550000") && line.contains("-bufsize 200000"),
            "{line}"
        );
        assert!(
            line.contains("pipe:3 -map [v1]") && line.ends_with("pipe:4"),
            "{line}"
        );
    }
}
