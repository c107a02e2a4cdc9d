//! Key frames become pictures, in a confined process: nothing is decoded in ours.
//!
//! In → Out: random access points with their configuration → one as JPEG, at most 640 pixels wide, or several as an
//! animated WebP, at most 320 wide; both upright. Bounded in time, size and number.
//! Spec: ITU-T T.81 (JPEG); RFC 9649 (WebP).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use formats::container::flv::mux::{self, FrameKind};
use media::{AccessUnit, Rotation, VideoConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::{arguments, sandbox};

/// Width of the picture, in pixels.
pub(crate) const WIDTH_MAX: u32 = 640;
/// Width of a moving picture, in pixels.
pub(crate) const PREVIEW_WIDTH_MAX: u32 = 320;
const PREVIEW_STEP_MILLIS: usize = 500;
const SIZE_MAX: usize = 1 << 20;
/// Processes that make pictures at once, over all broadcasts.
static SLOTS: Semaphore = Semaphore::const_new(2);
const PATIENCE: Duration = Duration::from_secs(4);
const MEMORY_MAX: u64 = 2 << 30;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The process could not be run or fed.
    #[error("the picture process failed: {0}")]
    Process(#[from] std::io::Error),
    /// It took too long.
    #[error("no picture within {} s", PATIENCE.as_secs())]
    Slow,
    /// It ended without a picture.
    #[error("the key frame gave no picture")]
    Empty,
}

/// Decodes `unit` with the ffmpeg at `program` and encodes it as JPEG.
pub async fn picture_of(
    program: &Path,
    video: &VideoConfig,
    unit: &AccessUnit,
) -> Result<Bytes, PictureError> {
    let line = arguments::picture(WIDTH_MAX, turn(video.rotation));
    let picture = run(program, line, flv(video, std::slice::from_ref(unit))).await?;
    if picture.starts_with(&[0xff, 0xd8]) {
        Ok(picture)
    } else {
        Err(PictureError::Empty)
    }
}

/// Decodes random access points with the ffmpeg at `program` and shows them one after another as an animated WebP.
pub async fn preview_of(
    program: &Path,
    video: &VideoConfig,
    units: &[AccessUnit],
) -> Result<Bytes, PictureError> {
    let line = arguments::preview(PREVIEW_WIDTH_MAX, turn(video.rotation));
    let picture = run(program, line, flv(video, units)).await?;
    if picture.starts_with(b"RIFF") && picture.len() < SIZE_MAX {
        Ok(picture)
    } else {
        Err(PictureError::Empty)
    }
}

/// The key frames as a stream of two pictures a second.
fn flv(video: &VideoConfig, units: &[AccessUnit]) -> Bytes {
    let head = [Some(mux::header()), mux::video_config(video, 0)];
    let pictures = (0..)
        .step_by(PREVIEW_STEP_MILLIS)
        .zip(units)
        .map(|(millis, unit)| mux::video(millis, 0, FrameKind::Key, &unit.payload));
    let mut flv = BytesMut::new();
    for tag in head.into_iter().chain(pictures).flatten() {
        flv.extend_from_slice(&tag);
    }
    flv.freeze()
}

async fn run(program: &Path, line: Vec<String>, input: Bytes) -> Result<Bytes, PictureError> {
    // Pictures are worth less than what is on air: they wait for one another.
    let _turn = SLOTS.acquire().await.map_err(|_| PictureError::Empty)?;
    let mut command = std::process::Command::new(program);
    command
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    sandbox::confine(&mut command, program, MEMORY_MAX);
    let mut process = Command::from(command).kill_on_drop(true).spawn()?;
    let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A decoder that has its picture closes the pipe early: not an error.
            drop(stdin.write_all(&input).await);
        }
    };
    let read = async {
        let mut picture = Vec::new();
        if let Some(stdout) = stdout {
            let mut stdout = stdout.take(SIZE_MAX as u64);
            stdout.read_to_end(&mut picture).await?;
        }
        process.wait().await?;
        Ok::<_, std::io::Error>(picture)
    };
    let (picture, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(read, feed) })
        .await
        .map_err(|_| PictureError::Slow)?;
    Ok(picture?.into())
}

const fn turn(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "",
        Rotation::Clockwise90 => "transpose=1,",
        Rotation::Half => "hflip,vflip,",
        Rotation::Clockwise270 => "transpose=2,",
    }
}
