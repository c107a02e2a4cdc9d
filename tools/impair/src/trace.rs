//! The text form of a network's course: steps with a length and a shape.
//!
//! In → Out: `10:rate=10M,delay=20ms 5:rate=1M` → [`Step`]s, or what is wrong with the text.
//! Spec: none; our own.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::link::Shape;

/// A shape and how long it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// How long.
    pub(crate) length: Duration,
    /// What packets meet.
    pub(crate) shape: Shape,
}

/// At least one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trace(Vec<Step>);

impl Trace {
    /// The steps, in order.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for Trace {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut shape = Shape::default();
        let mut steps = Vec::new();
        for word in text.split_whitespace() {
            let (length, settings) = word
                .split_once(':')
                .context("a step is SECONDS:key=value,…")?;
            for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
                let (key, value) = setting
                    .split_once('=')
                    .with_context(|| format!("{setting}: key=value"))?;
                set(&mut shape, key, value).with_context(|| format!("{setting:?}"))?;
            }
            let seconds: f64 = length
                .parse()
                .with_context(|| format!("{length:?} seconds"))?;
            steps.push(Step {
                length: Duration::try_from_secs_f64(seconds)?,
                shape,
            });
        }
        ensure!(!steps.is_empty(), "a trace has at least one step");
        Ok(Self(steps))
    }
}

fn set(shape: &mut Shape, key: &str, value: &str) -> anyhow::Result<()> {
    match key {
        "rate" => shape.rate_bps = rate(value)?,
        "delay" => shape.delay = length(value)?,
        "jitter" => shape.jitter = length(value)?,
        "queue" => shape.queue = length(value)?,
        "burst" => shape.burst = value.parse()?,
        "loss" => {
            let percent: f64 = value
                .strip_suffix('%')
                .context("in percent, such as 0.5%")?
                .parse()?;
            ensure!((0.0..=100.0).contains(&percent), "between 0% and 100%");
            shape.loss = percent / 100.0;
        }
        _ => bail!("unknown key; there are rate, delay, jitter, queue, burst, loss"),
    }
    Ok(())
}

fn rate(text: &str) -> anyhow::Result<u64> {
    let (number, factor) = match (text.strip_suffix('M'), text.strip_suffix('k')) {
        (Some(number), _) => (number, 1_000_000),
        (_, Some(number)) => (number, 1_000),
        _ => (text, 1),
    };
    number
        .parse::<u64>()?
        .checked_mul(factor)
        .context("too fast")
}

fn length(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(
        text.strip_suffix("ms")
            .context("in milliseconds, such as 20ms")?
            .parse()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_what_it_does_not_name() {
        let trace: Trace = "10:rate=10M,delay=20ms,loss=0.5%,burst=3 2.5:rate=800k"
            .parse()
            .unwrap();
        let [first, second] = trace.steps() else {
            panic!("two steps")
        };
        assert_eq!((first.shape.rate_bps, first.shape.burst), (10_000_000, 3));
        assert_eq!(second.length, Duration::from_millis(2_500));
        assert_eq!(
            second.shape,
            Shape {
                rate_bps: 800_000,
                ..first.shape
            }
        );
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, word) in [
            ("", "at least one"),
            ("10", "SECONDS"),
            ("1:speed=3", "speed"),
            ("1:loss=3", "percent"),
        ] {
            let error = format!("{:#}", text.parse::<Trace>().unwrap_err());
            assert!(error.contains(word), "{text:?}: {error}");
        }
    }
}
