//! One key frame becomes one picture, in a confined process: nothing is decoded in ours.
//!
//! In → Out: a random access point with its configuration → JPEG bytes, at most 640 pixels wide, turned
//! upright. Bounded in time and size.
//! Spec: ITU-T T.81 (JPEG).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use formats::container::flv::mux::{self, FrameKind};
use media::{AccessUnit, Rotation, VideoConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::{arguments, sandbox};

/// Width of the picture, in pixels.
pub(crate) const WIDTH_MAX: u32 = 640;
const SIZE_MAX: u64 = 1 << 20;
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
    let tags = [
        Some(mux::header()),
        mux::video_config(video, 0),
        mux::video(0, 0, FrameKind::Key, &unit.payload),
    ];
    let mut flv = BytesMut::new();
    tags.into_iter()
        .flatten()
        .for_each(|tag| flv.extend_from_slice(&tag));
    let mut command = std::process::Command::new(program);
    command.args(arguments::picture(WIDTH_MAX, turn(video.rotation)));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    sandbox::confine(&mut command, program, MEMORY_MAX);
    let mut process = Command::from(command).kill_on_drop(true).spawn()?;
    let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A decoder that has its picture closes the pipe early: not an error.
            drop(stdin.write_all(&flv).await);
        }
    };
    let read = async {
        let mut picture = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(SIZE_MAX).read_to_end(&mut picture).await?;
        }
        process.wait().await?;
        Ok::<_, std::io::Error>(picture)
    };
    let (picture, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(read, feed) })
        .await
        .map_err(|_| PictureError::Slow)?;
    let picture = picture?;
    if picture.starts_with(&[0xff, 0xd8]) {
        Ok(picture.into())
    } else {
        Err(PictureError::Empty)
    }
}

const fn turn(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "",
        Rotation::Clockwise90 => "transpose=1,",
        Rotation::Half => "hflip,vflip,",
        Rotation::Clockwise270 => "transpose=2,",
    }
}
