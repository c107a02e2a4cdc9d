//! The test picture: dusk over moving hills, rising hearts, a big running clock, and the machine-readable strip.
//!
//! In → Out: frame index and wall clock → one raw yuv420p picture, ready for an encoder's input.
//! All that can be drawn once is drawn once; a frame is mostly row copies, so an unoptimised build keeps up as well.
//! Spec: docs/clock-strip.md; ITU-R BT.601, limited range.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "drawing: values are clamped to the picture and to a byte before they are narrowed"
)]

use media::UnixTime;

use super::{font, strip};

/// Width and height in pixels; both even, 160–4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames …
    pub numerator: u32,
    /// … in so many seconds; not zero.
    pub denominator: u32,
}

impl FrameRate {
    /// Frames per second, rounded to a whole number, at least 1.
    pub fn rounded(self) -> u64 {
        let (numerator, denominator) = (u64::from(self.numerator), u64::from(self.denominator));
        ((numerator + denominator / 2) / denominator).max(1)
    }

    /// Media time of a frame in nanoseconds.
    pub fn frame_nanos(self, index: u64) -> u64 {
        let nanos = u128::from(index) * u128::from(self.denominator) * 1_000_000_000
            / u128::from(self.numerator);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// A colour in limited-range YCbCr.
type Yuv = [u8; 3];

const BLACK: Yuv = [16, 128, 128];
const WHITE: Yuv = [235, 128, 128];
/// Heart colours: rose, amber, mint, sky.
const HEARTS: [Yuv; 4] = [
    [110, 118, 200],
    [170, 70, 165],
    [165, 120, 80],
    [130, 175, 90],
];

/// Paints frames into one buffer that it keeps.
#[derive(Debug)]
pub struct Picture {
    width: usize,
    height: usize,
    rate: FrameRate,
    /// Sky above, hills below the horizon; rows are twice as wide as the picture, so that hills scroll by an offset.
    background: [Vec<u8>; 3],
    heart: Vec<bool>,
    heart_side: usize,
    frame: Vec<u8>,
}

impl Picture {
    /// A painter for pictures of this size and rate.
    pub fn new(size: Size, rate: FrameRate) -> Self {
        let (width, height) = (size.width as usize & !1, size.height as usize & !1);
        let heart_side = (width.min(height) / 9).max(8);
        Self {
            width,
            height,
            rate,
            background: background(width, height),
            heart: heart(heart_side),
            heart_side,
            frame: vec![128; width * height * 3 / 2],
        }
    }

    /// Bytes of one frame.
    pub fn frame_length(&self) -> usize {
        self.frame.len()
    }

    /// Paints frame `index` of media time, with `wall` as the clock that is seen on it.
    pub fn paint(&mut self, index: u64, wall: UnixTime) -> &[u8] {
        self.copy_background(index);
        self.hearts(index);
        self.clock(wall);
        self.flash(index);
        self.strip(wall);
        &self.frame
    }

    fn copy_background(&mut self, index: u64) {
        let seconds = self.rate.frame_nanos(index) as f64 / 1e9;
        let (width, height) = (self.width, self.height);
        let travelled = (seconds * width as f64 / 12.0) as usize % width;
        let mut at = 0;
        for (plane, half) in self.background.iter().zip([0, 1, 1]) {
            let (columns, rows) = (width >> half, height >> half);
            let shift = travelled >> 1 << 1 >> half;
            for row in 0..rows {
                // The sky stands still, the hills pass by.
                let offset = if row < rows / 2 { 0 } else { shift };
                let from = row * columns * 2 + offset;
                self.frame[at..at + columns].copy_from_slice(&plane[from..from + columns]);
                at += columns;
            }
        }
    }

    fn hearts(&mut self, index: u64) {
        let seconds = self.rate.frame_nanos(index) as f64 / 1e9;
        let (width, height, side) = (self.width as f64, self.height as f64, self.heart_side);
        for (number, colour) in HEARTS.into_iter().enumerate() {
            let phase = (seconds / 3.2 + number as f64 * 0.27).fract();
            let sway = (seconds * 1.7 + number as f64 * 2.1).sin() * width * 0.02;
            let x = width * (0.08 + 0.055 * number as f64) + sway;
            let y = height * (0.97 - 0.75 * phase);
            self.heart_at(
                x.max(0.0) as usize & !1,
                y.max(0.0) as usize & !1,
                side,
                colour,
            );
        }
    }

    fn heart_at(&mut self, left: usize, top: usize, side: usize, colour: Yuv) {
        for row in 0..side.min(self.height.saturating_sub(top)) {
            for column in 0..side.min(self.width.saturating_sub(left)) {
                if self.heart[row * side + column] {
                    self.dot(left + column, top + row, colour);
                }
            }
        }
    }

    fn clock(&mut self, wall: UnixTime) {
        let text = wall.to_string();
        // Of "2026-11-22T12:34:56.789Z", the time.
        let time = text.get(11..23).unwrap_or("").to_owned();
        let scale = (self.width * 7 / 10 / (time.len() * (font::COLUMNS + 1))).max(1);
        let top = self.height * 2 / 5;
        self.text(&time, self.width / 2, top, scale, WHITE);
        let small = (scale / 3).max(1);
        let below = top + scale * (font::ROWS + 2);
        self.text(
            "NEARCAST UTC",
            self.width / 2,
            below,
            small,
            [200, 110, 150],
        );
        // A bar that runs across once a second, for the eye.
        let millis = (wall.as_millis() % 1_000) as usize;
        let length = self.width * 7 / 10 * millis / 1_000;
        self.fill(
            self.width * 3 / 20,
            below + small * (font::ROWS + 3),
            length,
            (scale / 2).max(2),
            [180, 80, 170],
        );
    }

    fn text(&mut self, text: &str, centre: usize, top: usize, scale: usize, colour: Yuv) {
        let advance = (font::COLUMNS + 1) * scale;
        let left = centre.saturating_sub(text.len() * advance / 2);
        for (place, character) in text.bytes().enumerate() {
            for (row, dots) in font::glyph(character).into_iter().enumerate() {
                for column in (0..font::COLUMNS)
                    .filter(|column| dots >> (font::COLUMNS - 1 - column) & 1 == 1)
                {
                    self.fill(
                        left + place * advance + column * scale,
                        top + row * scale,
                        scale,
                        scale,
                        colour,
                    );
                }
            }
        }
    }

    fn flash(&mut self, index: u64) {
        let rate = self.rate.rounded();
        let colour = if index % rate < (rate / 10).max(1) {
            WHITE
        } else {
            BLACK
        };
        let (left, top) = (self.width * 3 / 4, self.height * 3 / 4);
        self.fill(left, top, self.width - left, self.height - top, colour);
    }

    fn strip(&mut self, wall: UnixTime) {
        let cells = strip::encode((wall.as_millis() & 0xFFFF_FFFF) as u32);
        let side = self.width / strip::CELLS;
        for (cell, white) in cells.into_iter().enumerate() {
            let (left, right) = (
                cell * self.width / strip::CELLS,
                (cell + 1) * self.width / strip::CELLS,
            );
            let (above, below) = if white {
                (WHITE, BLACK)
            } else {
                (BLACK, WHITE)
            };
            self.fill(left, 0, right - left, side, above);
            self.fill(left, side, right - left, side, below);
        }
    }

    fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: Yuv) {
        let (right, bottom) = (
            (left + width).min(self.width),
            (top + height).min(self.height),
        );
        let mut at = 0;
        for (value, half) in colour.into_iter().zip([0, 1, 1]) {
            let columns = self.width >> half;
            for row in top >> half..bottom >> half {
                let line = at + row * columns;
                if left < right {
                    self.frame[line + (left >> half)..line + (right >> half)].fill(value);
                }
            }
            at += columns * (self.height >> half);
        }
    }

    fn dot(&mut self, x: usize, y: usize, colour: Yuv) {
        let (luma, chroma) = (self.width * self.height, self.width / 2 * (self.height / 2));
        let at = y / 2 * (self.width / 2) + x / 2;
        self.frame[y * self.width + x] = colour[0];
        self.frame[luma + at] = colour[1];
        self.frame[luma + chroma + at] = colour[2];
    }
}

/// Sky and hills, in planes twice as wide as the picture and periodic with its width.
fn background(width: usize, height: usize) -> [Vec<u8>; 3] {
    let mut planes = [Vec::new(), Vec::new(), Vec::new()];
    for (plane, (values, half)) in planes.iter_mut().zip([0, 1, 1]).enumerate() {
        let (columns, rows) = (width >> half, height >> half);
        values.reserve(columns * 2 * rows);
        for row in 0..rows {
            for column in 0..columns * 2 {
                let across = (column % columns) as f64 / columns as f64;
                values.push(landscape(across, row as f64 / rows as f64)[plane]);
            }
        }
    }
    planes
}

/// The colour at a place of the landscape, both from 0 to 1.
fn landscape(across: f64, down: f64) -> Yuv {
    let wave = |cycles: f64, phase: f64| (across * std::f64::consts::TAU * cycles + phase).sin();
    let far = 0.60 + 0.035 * wave(2.0, 0.0) + 0.02 * wave(5.0, 1.0);
    let middle = 0.72 + 0.05 * wave(3.0, 2.0) + 0.015 * wave(7.0, 0.5);
    let near = 0.86 + 0.05 * wave(2.0, 4.0) + 0.02 * wave(4.0, 2.5);
    let colour = if down > near {
        [24.0, 136.0, 128.0]
    } else if down > middle {
        [42.0, 142.0, 134.0]
    } else if down > far {
        [64.0, 146.0, 144.0]
    } else {
        // Night above, a warm band at the horizon.
        let warmth = (down / 0.62).clamp(0.0, 1.0).powi(2);
        [
            30.0 + 120.0 * warmth,
            150.0 - 45.0 * warmth,
            126.0 + 44.0 * warmth,
        ]
    };
    colour.map(|value: f64| value.clamp(16.0, 235.0) as u8)
}

/// Which pixels of a square are a heart.
fn heart(side: usize) -> Vec<bool> {
    let inside = |row: usize, column: usize| {
        let x = (column as f64 + 0.5) / side as f64 * 2.5 - 1.25;
        let y = 1.3 - (row as f64 + 0.5) / side as f64 * 2.5;
        (x * x + y * y - 1.0).powi(3) - x * x * y.powi(3) <= 0.0
    };
    (0..side * side)
        .map(|pixel| inside(pixel / side, pixel % side))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: FrameRate = FrameRate {
        numerator: 30,
        denominator: 1,
    };

    #[test]
    fn the_clock_is_read_back_from_every_size() {
        for (width, height) in [(640, 360), (360, 640), (854, 480), (160, 90), (1280, 720)] {
            let mut picture = Picture::new(Size { width, height }, RATE);
            for index in [0, 1, 29, 30, 1_000] {
                let wall = UnixTime::from_millis(1_795_350_896_789 + index);
                let frame = picture.paint(index, wall);
                let read = strip::read(frame, width as usize, width as usize);
                assert_eq!(
                    read,
                    Some(Ok((wall.as_millis() & 0xFFFF_FFFF) as u32)),
                    "{width}x{height} at {index}"
                );
            }
        }
    }

    #[test]
    fn the_box_flashes_for_a_tenth_of_each_second() {
        let mut picture = Picture::new(
            Size {
                width: 640,
                height: 360,
            },
            RATE,
        );
        let lit: Vec<bool> = (0..60)
            .map(|index| picture.paint(index, UnixTime::from_millis(index))[330 * 640 + 600] == 235)
            .collect();
        let flashing: Vec<usize> = (0..60).filter(|&index| lit[index]).collect();
        assert_eq!(flashing, [0, 1, 2, 30, 31, 32]);
    }

    #[test]
    fn nothing_else_is_painted_into_the_strip() {
        let mut picture = Picture::new(
            Size {
                width: 360,
                height: 640,
            },
            RATE,
        );
        for index in 0..200 {
            let frame = picture.paint(index, UnixTime::from_millis(1_795_350_896_000 + index * 33));
            assert!(
                frame[..360 * 18]
                    .iter()
                    .all(|luma| [16, 235].contains(luma)),
                "frame {index}"
            );
        }
    }
}
