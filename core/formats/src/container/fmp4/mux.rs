//! Init sections and chunks, written.
//!
//! In → Out: tracks → `ftyp`+`moov`; samples of one or two tracks → (`prft`)+`moof`+`mdat` in one piece of memory.
//! A chunk is mostly header at low bitrates, so everything that can be said once is said in the init section: durations
//! and flags stand in `trex`, and a run repeats them only where they differ.
//!
//! Spec: ISO/IEC 14496-12, "Movie Fragment Box", "Track Fragment Run Box", "Producer Reference Time Box".

use bytes::Bytes;
use media::{Duration, Rounding, Timescale, Track, TrackConfig, TrackId, TrackKind, UnixTime};

use super::init::{self, put_box, put_full_box, put_u32, put_u64};

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// An init section needs a track.
    #[error("no tracks")]
    NoTracks,
    /// A decoder configuration that nobody can mean.
    #[error("decoder configuration of track {} is {length} bytes long", track.0)]
    ConfigTooLong {
        /// The track.
        track: TrackId,
        /// Its length in bytes.
        length: usize,
    },
    /// A chunk needs a sample, and so does each of its runs.
    #[error("empty chunk")]
    Empty,
    /// Decode times must grow within a run, by less than 2³² ticks.
    #[error("decode time does not grow at sample {index} of track {}", track.0)]
    DecodeTime {
        /// The track.
        track: TrackId,
        /// Which sample of the run.
        index: usize,
    },
    /// More than 2³¹ bytes in one chunk.
    #[error("chunk too large")]
    TooLarge,
}

/// What an init section promised about a track; chunks of that epoch must be written with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackLayout {
    /// The track's number.
    pub id: TrackId,
    /// Sound or picture.
    pub kind: TrackKind,
    /// The clock that ticks are counted in.
    pub timescale: Timescale,
    /// The duration of a sample unless its run says otherwise, in ticks.
    pub default_duration: u32,
}

impl TrackLayout {
    /// The layout that [`init_section`] gives this track.
    pub fn of(track: &Track) -> Self {
        let timescale = track.timescale();
        let default_duration = match &track.config {
            TrackConfig::Audio(audio) => audio.samples_per_unit,
            TrackConfig::Video(video) => {
                let frame = video
                    .frame_duration
                    .unwrap_or(Duration::from_nanos(33_333_333));
                u32::try_from(frame.to_ticks(timescale, Rounding::Nearest)).unwrap_or(3_000)
            }
        };
        Self {
            id: track.id,
            kind: track.kind(),
            timescale,
            default_duration,
        }
    }

    /// Sample flags unless a run says otherwise: pictures depend on others, sounds do not.
    pub(super) const fn default_flags(&self) -> u32 {
        match self.kind {
            TrackKind::Video => SAMPLE_DEPENDS,
            TrackKind::Audio => SAMPLE_SYNC,
        }
    }
}

/// One access unit as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Decode time in ticks.
    pub dts: u64,
    /// Composition time minus decode time, in ticks.
    pub composition_offset: i32,
    /// In ticks. Of a run's samples only the last one's counts: the others last until the next.
    pub duration: u32,
    /// Whether a decoder can start here.
    pub sync: bool,
    /// The data.
    pub payload: Bytes,
}

/// Samples of one track, in decode order.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The track.
    pub layout: &'a TrackLayout,
    /// At least one.
    pub samples: &'a [Sample],
}

/// A moment of a track's timeline and when it happened (`prft`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerTime {
    /// The track.
    pub track: TrackId,
    /// Composition time in ticks.
    pub media_time: u64,
    /// When that was.
    pub wall: UnixTime,
}

/// Writes `ftyp` + `moov`.
pub fn init_section(tracks: &[Track]) -> Result<Bytes, MuxError> {
    init::render(tracks).map(Bytes::from)
}

/// Writes (`prft`) + `moof` + `mdat`. `sequence` counts fragments and is not zero.
pub fn chunk(
    sequence: u32,
    stamp: Option<ProducerTime>,
    runs: &[Run<'_>],
) -> Result<Bytes, MuxError> {
    if runs.is_empty() || runs.iter().any(|run| run.samples.is_empty()) {
        return Err(MuxError::Empty);
    }
    let payload: usize = runs
        .iter()
        .flat_map(|run| run.samples)
        .map(|sample| sample.payload.len())
        .sum();
    let samples: usize = runs.iter().map(|run| run.samples.len()).sum();
    if payload > PAYLOAD_MAX {
        return Err(MuxError::TooLarge);
    }
    let mut out = Vec::with_capacity(payload + 72 + runs.len() * 72 + samples * 16);
    if let Some(stamp) = stamp {
        put_producer_time(&mut out, stamp);
    }
    let moof = out.len();
    let mut offsets = Offsets::default();
    let mut outcome = Ok(());
    put_box(&mut out, *b"moof", |out| {
        put_full_box(out, *b"mfhd", 0, 0, |out| put_u32(out, sequence));
        for run in runs {
            outcome = outcome.and_then(|()| put_track_fragment(out, run, &mut offsets));
        }
    });
    outcome?;
    // The payload of the first run begins after the header of `mdat`; that of each other after the one before it.
    let mut offset = out.len() - moof + 8;
    for (run, at) in runs.iter().zip(offsets.places) {
        let value = u32::try_from(offset).map_err(|_| MuxError::TooLarge)?;
        out[at..at + 4].copy_from_slice(&value.to_be_bytes());
        offset += run
            .samples
            .iter()
            .map(|sample| sample.payload.len())
            .sum::<usize>();
    }
    put_box(&mut out, *b"mdat", |out| {
        for sample in runs.iter().flat_map(|run| run.samples) {
            out.extend_from_slice(&sample.payload);
        }
    });
    Ok(Bytes::from(out))
}

const PAYLOAD_MAX: usize = 1 << 30;
/// "Depends on others, is not a sync sample."
pub(super) const SAMPLE_DEPENDS: u32 = 0x0101_0000;
/// "Depends on no other."
pub(super) const SAMPLE_SYNC: u32 = 0x0200_0000;
/// The bit that says "not a sync sample".
pub(super) const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// Where the data offsets of the runs stand, to be filled in when the size of `moof` is known.
#[derive(Default)]
struct Offsets {
    places: Vec<usize>,
}

fn put_producer_time(out: &mut Vec<u8>, stamp: ProducerTime) {
    // The flags say: not one of the named moments of encoding, but the same one each time.
    put_full_box(out, *b"prft", 1, 24, |out| {
        put_u32(out, stamp.track.0);
        put_u64(out, stamp.wall.to_ntp());
        put_u64(out, stamp.media_time);
    });
}

/// Which fields a run states for each sample.
#[derive(Default)]
struct Stated {
    durations: Option<Vec<u32>>,
    flags: FlagsStated,
    offsets: bool,
}

#[derive(Default, PartialEq, Eq)]
enum FlagsStated {
    #[default]
    No,
    First,
    Each,
}

fn put_track_fragment(
    out: &mut Vec<u8>,
    run: &Run<'_>,
    offsets: &mut Offsets,
) -> Result<(), MuxError> {
    let stated = state(run)?;
    put_box(out, *b"traf", |out| {
        // Data offsets count from the start of `moof`.
        put_full_box(out, *b"tfhd", 0, 0x02_0000, |out| {
            put_u32(out, run.layout.id.0);
        });
        put_full_box(out, *b"tfdt", 1, 0, |out| put_u64(out, run.samples[0].dts));
        let flags = 0x201
            | if stated.durations.is_some() { 0x100 } else { 0 }
            | match stated.flags {
                FlagsStated::No => 0,
                FlagsStated::First => 0x004,
                FlagsStated::Each => 0x400,
            }
            | if stated.offsets { 0x800 } else { 0 };
        // Version 1: composition offsets are signed.
        put_full_box(out, *b"trun", 1, flags, |out| {
            put_u32(out, u32::try_from(run.samples.len()).unwrap_or(u32::MAX));
            offsets.places.push(out.len());
            put_u32(out, 0);
            if stated.flags == FlagsStated::First {
                put_u32(out, SAMPLE_SYNC);
            }
            for (index, sample) in run.samples.iter().enumerate() {
                if let Some(durations) = &stated.durations {
                    put_u32(out, durations[index]);
                }
                put_u32(out, u32::try_from(sample.payload.len()).unwrap_or(u32::MAX));
                if stated.flags == FlagsStated::Each {
                    put_u32(
                        out,
                        if sample.sync {
                            SAMPLE_SYNC
                        } else {
                            SAMPLE_DEPENDS
                        },
                    );
                }
                if stated.offsets {
                    put_u32(out, sample.composition_offset.cast_unsigned());
                }
            }
        });
    });
    Ok(())
}

fn state(run: &Run<'_>) -> Result<Stated, MuxError> {
    let mut differs = false;
    let mut durations = Vec::with_capacity(run.samples.len());
    for (index, sample) in run.samples.iter().enumerate() {
        let duration = match run.samples.get(index + 1) {
            None => sample.duration,
            Some(next) => next
                .dts
                .checked_sub(sample.dts)
                .filter(|ticks| *ticks > 0)
                .and_then(|ticks| u32::try_from(ticks).ok())
                .ok_or(MuxError::DecodeTime {
                    track: run.layout.id,
                    index: index + 1,
                })?,
        };
        differs |= duration != run.layout.default_duration;
        durations.push(duration);
    }
    let usual = run.layout.default_flags() & SAMPLE_IS_NON_SYNC == 0;
    let flags = if run.samples.iter().all(|sample| sample.sync == usual) {
        FlagsStated::No
    } else if run.samples[0].sync && run.samples[1..].iter().all(|sample| sample.sync == usual) {
        FlagsStated::First
    } else {
        FlagsStated::Each
    };
    Ok(Stated {
        durations: differs.then_some(durations),
        flags,
        offsets: run
            .samples
            .iter()
            .any(|sample| sample.composition_offset != 0),
    })
}
