//! The sound of the test picture: a beep of 1 kHz for a tenth of a second, together with each flash.
//!
//! In → Out: sample index → interleaved 16-bit stereo at 48 kHz.
//! Spec: docs/clock-strip.md.

use super::FrameRate;

/// Samples per second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Interleaved channels.
pub const CHANNELS: u8 = 2;

const BEEP_SAMPLES: u64 = SAMPLE_RATE as u64 / 10;
/// Ten milliseconds, so that the beep's edges do not click.
const FADE_SAMPLES: u64 = SAMPLE_RATE as u64 / 400;

/// Makes the sound, sample by sample.
#[derive(Clone, Debug)]
pub struct Tone {
    rate: FrameRate,
    /// One period of 1 kHz, half of full scale.
    period: Vec<i16>,
}

impl Tone {
    /// A tone that beeps with the flashes of a picture of this rate.
    #[expect(clippy::cast_possible_truncation, reason = "half of full scale fits")]
    pub fn new(rate: FrameRate) -> Self {
        let step = std::f64::consts::TAU / 48.0;
        let period = (0..48)
            .map(|sample| ((f64::from(sample) * step).sin() * 16_000.0) as i16)
            .collect();
        Self { rate, period }
    }

    /// Appends `count` stereo samples that begin at sample `first`, little-endian.
    pub fn render(&self, first: u64, count: u64, pcm: &mut Vec<u8>) {
        for sample in first..first + count {
            let value = self.value(sample).to_le_bytes();
            pcm.extend_from_slice(&[value[0], value[1], value[0], value[1]]);
        }
    }

    /// One sample. The beep begins with the frame that flashes, which for whole frame rates is each whole second.
    fn value(&self, sample: u64) -> i16 {
        let since = self.since_flash(sample);
        if since >= BEEP_SAMPLES {
            return 0;
        }
        let edge = since.min(BEEP_SAMPLES - since).min(FADE_SAMPLES);
        let wave = i64::from(self.period[usize::try_from(since % 48).unwrap_or(0)]);
        i16::try_from(wave * edge.cast_signed() / FADE_SAMPLES.cast_signed()).unwrap_or(0)
    }

    /// How many samples after the latest flash began.
    fn since_flash(&self, sample: u64) -> u64 {
        let (numerator, denominator) = (
            u64::from(self.rate.numerator),
            u64::from(self.rate.denominator),
        );
        // Flash n begins at frame n × round(fps), that is at n × round(fps) / fps seconds.
        let (cycle_numerator, cycle_denominator) = (
            self.rate.rounded() * denominator * u64::from(SAMPLE_RATE),
            numerator,
        );
        let flashes = sample * cycle_denominator / cycle_numerator;
        sample - flashes * cycle_numerator / cycle_denominator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beeps_begin_with_the_flashing_frame_at_any_rate() {
        for (numerator, denominator) in [(30, 1), (25, 1), (30_000, 1_001), (60, 1)] {
            let rate = FrameRate {
                numerator,
                denominator,
            };
            let tone = Tone::new(rate);
            for second in 0..50 {
                let frame = second * rate.rounded();
                let sample =
                    frame * u64::from(denominator) * u64::from(SAMPLE_RATE) / u64::from(numerator);
                assert!(
                    tone.since_flash(sample + 1) <= 2,
                    "{numerator}/{denominator} at {second}"
                );
                assert!(second == 0 || tone.since_flash(sample.saturating_sub(1)) > BEEP_SAMPLES);
            }
        }
    }

    #[test]
    fn a_beep_lasts_a_tenth_of_a_second_and_then_there_is_silence() {
        let tone = Tone::new(FrameRate {
            numerator: 30,
            denominator: 1,
        });
        let loud = (0..48_000_u64)
            .filter(|&sample| tone.value(sample) != 0)
            .max();
        assert!((4_700..4_800).contains(&loud.unwrap()), "{loud:?}");
        assert!(
            (1_000..3_000_u64)
                .map(|sample| tone.value(sample))
                .max()
                .unwrap()
                > 15_900
        );
    }
}
