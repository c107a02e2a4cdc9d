//! A room with a million viewers in virtual time: the real collector and the real room, modelled pages and caches.
//!
//! In → Out: an audience, its taps, comments, waves of joins and leaves → [`Report`]: requests and bytes at the origin, size of
//! beats, time from tap to screens, error of sampled hearts and of the viewer count.
//! Pages obey rules as late as they read them; a shield asks the origin once an object (and now and then twice), viewers ask leaves.
//! Spec: docs/ix.md; case IX-01.

use std::collections::VecDeque;
use std::fmt;

use media::{Duration, UnixTime};
use room::wire;
use room::{
    CommentId, CommentText, Draft, Heartbeat, Input, Intake, IntakePolicy, Name, Output, Policy,
    Post, Prefix, Room, Rules, Source, Start, Taps, ViewerId,
};

use crate::rng::Rng;

/// Who is there and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Audience {
    /// Viewers at the height of the broadcast.
    pub viewers: u32,
    /// How many in a million of them tap at all.
    pub tappers_per_million: u32,
    /// Taps a second of all of them, on average; a loved moment brings three times as many for ten seconds.
    pub taps_per_second: u32,
    /// Comments a second.
    pub comments_per_second: u32,
    /// Tap requests a second from which the room makes pages sample.
    pub posts_budget: u32,
    /// How long it lasts. Viewers come in the first fifth and in a wave at half time; four of ten leave at once at four fifths.
    pub seconds: u32,
    /// For everything that chance decides.
    pub seed: u64,
}

/// The caches in between. Calibrate the times with `bench/room`'s measured tier.
#[derive(Clone, Copy, Debug)]
pub struct Caches {
    /// Leaves behind one shield.
    pub leaves_per_shield: u32,
    /// Requests of leaves in a million that pass the shield although the object is being fetched.
    pub leak_per_million: u32,
    /// What both tiers and the way to a viewer add: at least so much, in milliseconds …
    pub delay_ms_min: u64,
    /// … and up to so much more.
    pub delay_ms_spread: u64,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            leaves_per_shield: 400,
            leak_per_million: 100,
            delay_ms_min: 30,
            delay_ms_spread: 120,
        }
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Requests a second that one shield sends to the origin.
    pub origin_requests_per_second: f64,
    /// Bits a second that the origin sends to one shield, response headers included.
    pub origin_bits_per_second: f64,
    /// Requests a second on the way up: mean over the broadcast, and the largest second.
    pub posts_per_second: (f64, u32),
    /// Bytes of a beat: median, 99 %, largest.
    pub beat_bytes: [usize; 3],
    /// Bytes a second that each viewer receives of the track, without HTTP framing.
    pub viewer_bytes_per_second: f64,
    /// Milliseconds from a tap to a viewer's screen: 50 %, 99 %.
    pub tap_to_viewer_ms: [u64; 2],
    /// Milliseconds from a tap to the broadcaster's screen: 50 %, 99 %.
    pub tap_to_broadcaster_ms: [u64; 2],
    /// Error of the heart total against the taps of half a way up earlier, looked at each second, in per cent: 95 %, and at the end.
    /// What the total lags is the time from tap to screen, which is told beside it.
    pub hearts_error_percent: [f64; 2],
    /// Error of the viewer count while the audience is steady, in per cent: 95 %.
    pub count_error_percent: f64,
    /// Seconds until the count was within 5 % again after the worst wave.
    pub count_lag_seconds: u32,
    /// Taps made, and hearts counted.
    pub hearts: (u64, u64),
    /// Levels in the order in which the room took them.
    pub levels: Vec<u8>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | value |\n|---|---|")?;
        writeln!(
            f,
            "| origin, requests/s a shield | {:.1} |",
            self.origin_requests_per_second
        )?;
        writeln!(
            f,
            "| origin, Mb/s a shield | {:.3} |",
            self.origin_bits_per_second / 1e6
        )?;
        writeln!(
            f,
            "| POSTs/s, mean (peak) | {:.0} ({}) |",
            self.posts_per_second.0, self.posts_per_second.1
        )?;
        let [median, high, largest] = self.beat_bytes;
        writeln!(
            f,
            "| beat, bytes p50 / p99 / max | {median} / {high} / {largest} |"
        )?;
        writeln!(
            f,
            "| each viewer, bytes/s | {:.0} |",
            self.viewer_bytes_per_second
        )?;
        let [p50, p99] = self.tap_to_viewer_ms;
        writeln!(f, "| tap → viewers, ms p50 / p99 | {p50} / {p99} |")?;
        let [p50, p99] = self.tap_to_broadcaster_ms;
        writeln!(f, "| tap → broadcaster, ms p50 / p99 | {p50} / {p99} |")?;
        let [high, end] = self.hearts_error_percent;
        writeln!(
            f,
            "| hearts, error % p95 / at the end | {high:.2} / {end:.2} |"
        )?;
        writeln!(
            f,
            "| viewer count, error % p95 (steady) | {:.2} |",
            self.count_error_percent
        )?;
        writeln!(
            f,
            "| viewer count, seconds behind a wave | {} |",
            self.count_lag_seconds
        )?;
        writeln!(
            f,
            "| taps made / hearts counted | {} / {} |",
            self.hearts.0, self.hearts.1
        )?;
        writeln!(f, "| levels | {:?} |", self.levels)
    }
}

/// Milliseconds of one step.
const STEP: u64 = 10;
const BEGIN: u64 = 1_795_350_000_000;
/// A media segment, and so an `ix` segment.
const SEGMENT_MS: u64 = 2_000;
/// From a tap to the room on average: half of what a page sums, the way, the collector.
const LAG_STEPS: usize = 15;
/// What a response costs beside its body.
const HTTP_BYTES: u64 = 350;

/// Runs one broadcast.
pub fn run(audience: &Audience, caches: &Caches) -> Report {
    let mut world = World::new(*audience, *caches);
    for step in 0..u64::from(audience.seconds) * 1_000 / STEP {
        world.step(step * STEP);
    }
    world.report()
}

/// A request on its way.
struct Flying {
    viewer: u32,
    post: Post,
    /// When its first tap was made.
    tapped: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Page {
    kept: u32,
    first_tap: u64,
    send_at: Option<u64>,
    sent: u64,
}

struct World {
    audience: Audience,
    caches: Caches,
    rng: Rng,
    room: Room,
    intake: Intake,
    alive: Vec<bool>,
    watching: u32,
    joined: u32,
    left: bool,
    /// Viewers by the moment of their heartbeat within its period.
    phases: Vec<Vec<u32>>,
    /// Cumulated tapping weights.
    weights: Vec<u64>,
    pages: Vec<Page>,
    due: VecDeque<Vec<u32>>,
    flying: VecDeque<Vec<Flying>>,
    rules: Rules,
    coming_rules: VecDeque<(u64, Rules)>,
    /// Tap times in the collector, and in the room since the last beat and the last micro-beat.
    collected: Vec<u64>,
    in_beat: Vec<u64>,
    in_micro: Vec<u64>,
    seen: Tally,
}

#[derive(Default)]
struct Tally {
    taps: u64,
    posts: u64,
    posts_this_second: u32,
    posts_peak: u32,
    beat_bytes: Vec<usize>,
    bytes: u64,
    segments: u64,
    to_viewer: Vec<u64>,
    to_broadcaster: Vec<u64>,
    total: u64,
    count: u64,
    /// Taps made so long before the last beat as a tap takes to be in one.
    held: u64,
    /// All taps made by the end of each of the last steps, newest last.
    made: VecDeque<u64>,
    heart_errors: Vec<f64>,
    count_errors: Vec<f64>,
    behind: u32,
    behind_most: u32,
    levels: Vec<u8>,
    steady_since: u64,
}

impl World {
    fn new(audience: Audience, caches: Caches) -> Self {
        let now = UnixTime::from_millis(BEGIN);
        let policy = Policy {
            posts_per_second: audience.posts_budget,
            ..Policy::default()
        };
        let rules = Rules::of(&policy);
        let mut room = Room::new(
            policy,
            Start {
                epoch: 1,
                seed: audience.seed,
                snapshot: None,
                ..Start::default()
            },
            now,
        );
        room.handle(Input::Staff(1), now);
        let tappers = (u64::from(audience.viewers) * u64::from(audience.tappers_per_million)
            / 1_000_000)
            .max(1);
        // Zipf–Mandelbrot with exponent 1: the most eager tap six times as often as the least, as fast as fingers are.
        let offset = tappers / 5 + 1;
        let weights = (0..tappers).scan(0, |sum, rank| {
            *sum += 1_000_000_000 / (rank + offset);
            Some(*sum)
        });
        let ring = || (0..512).map(|_| Vec::new()).collect();
        Self {
            rng: Rng::new(audience.seed),
            room,
            intake: Intake::new(IntakePolicy::default()),
            alive: vec![false; audience.viewers as usize],
            watching: 0,
            joined: 0,
            left: false,
            phases: vec![
                Vec::new();
                usize::try_from(rules.heartbeat_every.as_millis() / STEP).unwrap_or(1)
            ],
            weights: weights.collect(),
            pages: vec![Page::default(); usize::try_from(tappers).unwrap_or(1)],
            due: (0..512).map(|_| Vec::new()).collect(),
            flying: ring(),
            rules,
            coming_rules: VecDeque::new(),
            collected: Vec::new(),
            in_beat: Vec::new(),
            in_micro: Vec::new(),
            seen: Tally {
                levels: vec![0],
                ..Tally::default()
            },
            audience,
            caches,
        }
    }

    fn step(&mut self, at: u64) {
        while self
            .coming_rules
            .front()
            .is_some_and(|(when, _)| *when <= at)
        {
            if let Some((_, rules)) = self.coming_rules.pop_front() {
                self.rules = rules;
            }
        }
        self.come_and_go(at);
        self.heartbeats(at);
        self.taps(at);
        self.comments(at);
        self.arrive(at);
        if at.is_multiple_of(30) {
            self.flush(at);
        }
        let now = UnixTime::from_millis(BEGIN + at);
        self.room.handle_timeout(now);
        self.outputs(at);
        if at.is_multiple_of(SEGMENT_MS) {
            let line = wire::encode_snapshot(&self.room.snapshot(now)).len() as u64;
            self.seen.bytes += line;
            self.seen.segments += 1;
        }
        if at.is_multiple_of(1_000) {
            self.look(at);
        }
    }

    fn come_and_go(&mut self, at: u64) {
        let length = u64::from(self.audience.seconds) * 1_000;
        let most = u64::from(self.audience.viewers);
        // Six of ten in the first fifth, the rest within five seconds of half time.
        let early = (most * 6 / 10 * at * 5 / length).min(most * 6 / 10);
        let late = (most * 4 / 10 * at.saturating_sub(length / 2) / 5_000).min(most * 4 / 10);
        while u64::from(self.joined) < early + late {
            let viewer = self.joined;
            self.joined += 1;
            self.watching += 1;
            self.alive[viewer as usize] = true;
            let phase = usize::try_from(at / STEP).unwrap_or(0) % self.phases.len();
            self.phases[phase].push(viewer);
            self.seen.steady_since = at;
            self.heartbeat(viewer, at, true);
        }
        if !self.left && at >= length * 4 / 5 {
            self.left = true;
            self.seen.steady_since = at;
            for viewer in 0..self.joined {
                if self.rng.chance(400_000) {
                    self.alive[viewer as usize] = false;
                    self.watching -= 1;
                }
            }
        }
    }

    fn heartbeats(&mut self, at: u64) {
        let phase = usize::try_from(at / STEP).unwrap_or(0) % self.phases.len();
        let here = std::mem::take(&mut self.phases[phase]);
        // Those that came in this very step have just said so.
        let period = self.rules.heartbeat_every.as_millis();
        for viewer in &here {
            if self.alive[*viewer as usize] && at >= period {
                self.heartbeat(*viewer, at, false);
            }
        }
        self.phases[phase] = here;
    }

    fn heartbeat(&mut self, viewer: u32, at: u64, joined: bool) {
        let one_in = self.rules.heartbeat_one_in;
        if self.rng.below(u64::from(one_in)) == 0 {
            let post = Post {
                heartbeat: Some(Heartbeat { one_in, joined }),
                ..Post::default()
            };
            self.send(viewer, post, None, at);
        }
    }

    fn taps(&mut self, at: u64) {
        let length = u64::from(self.audience.seconds) * 1_000;
        let loved = (length * 6 / 10..length * 6 / 10 + 10_000).contains(&at);
        let share = u64::from(self.watching) * 1_000 / u64::from(self.audience.viewers.max(1));
        let expected =
            u64::from(self.audience.taps_per_second) * share * STEP * if loved { 3 } else { 1 };
        let count =
            expected / 1_000_000 + u64::from(self.rng.below(1_000_000) < expected % 1_000_000);
        let slot = usize::try_from(at / STEP).unwrap_or(0);
        for _ in 0..count {
            let at_weight = self.rng.below(self.weights.last().copied().unwrap_or(1));
            let tapper = self
                .weights
                .partition_point(|sum| *sum <= at_weight)
                .min(self.pages.len() - 1);
            let one_in = self.rules.tap_one_in;
            if one_in == 0 || !self.alive[tapper] {
                continue;
            }
            self.seen.taps += 1;
            if self.rng.below(u64::from(one_in)) != 0 {
                continue;
            }
            let every = self.rules.tap_every.as_millis();
            let page = &mut self.pages[tapper];
            page.kept += 1;
            if page.send_at.is_none() {
                let send = at.max(page.sent + every);
                page.first_tap = at;
                page.send_at = Some(send);
                let wait = usize::try_from((send - at).div_ceil(STEP)).unwrap_or(0);
                let length = self.due.len();
                self.due[(slot + wait) % length].push(u32::try_from(tapper).unwrap_or(0));
            }
        }
        let length = self.due.len();
        self.seen.made.push_back(self.seen.taps);
        if self.seen.made.len() > LAG_STEPS {
            self.seen.made.pop_front();
        }
        for tapper in std::mem::take(&mut self.due[slot % length]) {
            let page = &mut self.pages[tapper as usize];
            let (count, tapped) = (page.kept.min(Post::TAPS_MAX), page.first_tap);
            *page = Page {
                sent: at,
                ..Page::default()
            };
            let taps = Taps {
                count,
                one_in: self.rules.tap_one_in.max(1),
                age: Duration::from_millis(at - tapped),
            };
            self.send(
                tapper,
                Post {
                    taps: Some(taps),
                    ..Post::default()
                },
                Some(tapped),
                at,
            );
        }
    }

    fn comments(&mut self, at: u64) {
        let expected = u64::from(self.audience.comments_per_second) * STEP;
        let count = expected / 1_000 + u64::from(self.rng.below(1_000) < expected % 1_000);
        for _ in 0..count {
            let author =
                id_of(u32::try_from(self.rng.below(u64::from(self.joined.max(1)))).unwrap_or(0));
            let words = usize::try_from(2 + self.rng.below(9)).unwrap_or(2);
            let (Ok(name), Ok(text)) = (
                Name::parse("some viewer"),
                CommentText::parse(&"words ".repeat(words)),
            ) else {
                continue;
            };
            let draft = Draft {
                id: CommentId(self.rng.next_u64()),
                author,
                name,
                text,
                media: None,
                by_broadcaster: false,
            };
            self.room
                .handle(Input::Comment(draft), UnixTime::from_millis(BEGIN + at));
            self.seen.posts += 1;
            self.seen.posts_this_second += 1;
        }
    }

    /// Puts a request on the wire: 15 ms at least, 60 ms mostly, 400 ms now and then.
    fn send(&mut self, viewer: u32, mut post: Post, tapped: Option<u64>, at: u64) {
        post.id = self.rng.next_u64() | 1;
        let slow = if self.rng.chance(20_000) { 350 } else { 80 };
        let delay = 15 + self.rng.below(slow);
        let length = self.flying.len();
        let slot = usize::try_from((at + delay) / STEP).unwrap_or(0) % length;
        self.flying[slot].push(Flying {
            viewer,
            post,
            tapped,
        });
    }

    fn arrive(&mut self, at: u64) {
        let length = self.flying.len();
        let slot = usize::try_from(at / STEP).unwrap_or(0) % length;
        let now = UnixTime::from_millis(BEGIN + at);
        let Ok(name) = Name::parse("some viewer") else {
            return;
        };
        for flying in std::mem::take(&mut self.flying[slot]) {
            let prefix = Prefix(u64::from(flying.viewer % 200_000));
            let source = Source {
                viewer: id_of(flying.viewer),
                name: name.clone(),
                prefix,
            };
            let counted = self
                .intake
                .handle_post(&source, &flying.post, now)
                .map_or(0, |receipt| receipt.hearts);
            self.seen.posts += 1;
            self.seen.posts_this_second += 1;
            if let Some(tapped) = flying
                .tapped
                .filter(|_| counted > 0 && self.collected.len() < 256)
            {
                self.collected.push(tapped);
            }
        }
    }

    fn flush(&mut self, at: u64) {
        if let Some(contribution) = self.intake.poll_contribution() {
            self.room.handle(
                Input::Collected(contribution),
                UnixTime::from_millis(BEGIN + at),
            );
            self.in_beat.extend_from_slice(&self.collected);
            self.in_micro.append(&mut self.collected);
        }
    }

    fn outputs(&mut self, at: u64) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Beat(beat) => {
                    let bytes = wire::encode_beat(&beat).len();
                    self.seen.beat_bytes.push(bytes);
                    self.seen.bytes += bytes as u64;
                    self.seen.total = beat.hearts_total;
                    self.seen.held = self.seen.made.front().copied().unwrap_or_default();
                    self.seen.count = beat
                        .viewers
                        .map_or(self.seen.count, |viewers| viewers.count);
                    self.seen.levels.extend(beat.level.map(room::Level::number));
                    for tapped in std::mem::take(&mut self.in_beat) {
                        let down = self.caches.delay_ms_min
                            + self.rng.below(self.caches.delay_ms_spread.max(1));
                        self.seen.to_viewer.push(at - tapped + down);
                    }
                    if let Some(rules) = beat.rules {
                        self.intake
                            .handle_rules(&rules, UnixTime::from_millis(BEGIN + at));
                        self.coming_rules.push_back((at + 400, rules));
                    }
                }
                Output::Micro(_) => {
                    for tapped in std::mem::take(&mut self.in_micro) {
                        let down = 10 + self.rng.below(60);
                        self.seen.to_broadcaster.push(at - tapped + down);
                    }
                }
                _ => {}
            }
        }
    }

    /// Once a second: how far off the totals are.
    #[expect(clippy::cast_precision_loss, reason = "percentages for people")]
    fn look(&mut self, at: u64) {
        let seen = &mut self.seen;
        seen.posts_peak = seen.posts_peak.max(seen.posts_this_second);
        seen.posts_this_second = 0;
        if at >= 10_000 && seen.held > 0 {
            seen.heart_errors
                .push(seen.total.abs_diff(seen.held) as f64 * 100.0 / seen.held as f64);
        }
        if self.watching == 0 {
            return;
        }
        let error =
            seen.count.abs_diff(u64::from(self.watching)) as f64 * 100.0 / f64::from(self.watching);
        if at > seen.steady_since + 12_000 {
            seen.count_errors.push(error);
        }
        seen.behind = if error > 5.0 { seen.behind + 1 } else { 0 };
        if at > 15_000 {
            seen.behind_most = seen.behind_most.max(seen.behind);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a report for people")]
    fn report(mut self) -> Report {
        let seen = &mut self.seen;
        let seconds = f64::from(self.audience.seconds.max(1));
        // A shield asks once for each segment and once a second for the index; a few of its leaves' requests leak.
        let leaf_requests = f64::from(self.caches.leaves_per_shield) * seen.segments as f64;
        let leaked = leaf_requests * f64::from(self.caches.leak_per_million) / 1e6;
        let requests = seen.segments as f64 + seconds + leaked;
        let copies = 1.0 + leaked / seen.segments.max(1) as f64;
        let bytes = seen.bytes as f64 * copies + requests * HTTP_BYTES as f64;
        seen.beat_bytes.sort_unstable();
        Report {
            origin_requests_per_second: requests / seconds,
            origin_bits_per_second: bytes * 8.0 / seconds,
            posts_per_second: (seen.posts as f64 / seconds, seen.posts_peak),
            beat_bytes: [50, 99, 100].map(|percent| quantile(&seen.beat_bytes, percent)),
            viewer_bytes_per_second: seen.bytes as f64 / seconds,
            tap_to_viewer_ms: percentiles(&mut seen.to_viewer),
            tap_to_broadcaster_ms: percentiles(&mut seen.to_broadcaster),
            hearts_error_percent: [
                high(&mut seen.heart_errors),
                seen.total.abs_diff(seen.held) as f64 * 100.0 / seen.held.max(1) as f64,
            ],
            count_error_percent: high(&mut seen.count_errors),
            count_lag_seconds: seen.behind_most,
            hearts: (seen.taps, seen.total),
            levels: std::mem::take(&mut seen.levels),
        }
    }
}

fn id_of(viewer: u32) -> ViewerId {
    ViewerId(Rng::new(u64::from(viewer)).next_u64())
}

fn quantile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

fn percentiles(values: &mut [u64]) -> [u64; 2] {
    values.sort_unstable();
    [quantile(values, 50), quantile(values, 99)]
}

fn high(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 95)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ix_01_a_flooded_room_stays_within_its_numbers() {
        // The million runs in `bench/room`; here the same broadcast at a scale that a debug build carries.
        let audience = Audience {
            viewers: 30_000,
            tappers_per_million: 50_000,
            taps_per_second: 1_500,
            comments_per_second: 300,
            posts_budget: 300,
            seconds: 100,
            seed: 5,
        };
        let report = run(&audience, &Caches::default());
        assert!(report.origin_requests_per_second <= 100.0, "{report}");
        assert!(report.origin_bits_per_second <= 5e6, "{report}");
        assert!(report.beat_bytes[2] <= 2_048, "{report}");
        assert!(report.viewer_bytes_per_second <= 1_024.0, "{report}");
        assert!(
            report.tap_to_viewer_ms[0] <= 400 && report.tap_to_viewer_ms[1] <= 1_000,
            "{report}"
        );
        assert!(
            report.tap_to_broadcaster_ms[0] <= 200 && report.tap_to_broadcaster_ms[1] <= 500,
            "{report}"
        );
        assert!(
            report.hearts_error_percent[0] <= 3.0 && report.count_error_percent <= 4.0,
            "{report}"
        );
        assert!(report.levels.len() > 1, "the flood was no flood: {report}");
        assert_eq!(
            run(&audience, &Caches::default()),
            report,
            "the same seed, the same broadcast"
        );
    }
}
