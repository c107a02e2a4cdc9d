//! Decides which encoder processes run: a state machine without processes, clocks or sockets.
//!
//! In → Out: what is wanted, what processes did, `now` → [`Command`]s. At most two processes run at once: the one that
//! delivers, and its successor, which takes over at a key frame, so that a change of rungs interrupts nothing.
//! A process that dies, hangs or writes garbage is replaced at once, thrice; then its rungs are lost until the
//! publisher's next session. One that is too slow loses its top rung instead.
//! Spec: none; our own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use media::{Duration, RenditionName, Timestamp};

/// Names one process; later ones have greater numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Start a process for these rungs and feed it from the next random access point on.
    Start(Generation, BTreeSet<RenditionName>),
    /// End a process; nothing that it still says counts.
    Kill(Generation),
    /// These rungs were delivering and are not any more; they may come back.
    Interrupted(BTreeSet<RenditionName>),
    /// These rungs do not come back in this session.
    Lost(BTreeSet<RenditionName>, Cause),
}

/// Why a process was ended, or a rung lost; a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Exited,
    Hung,
    Slow,
}

impl Cause {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Hung => "hung",
            Self::Slow => "slow",
        }
    }
}

/// The supervisor's settings; see [`crate::Config`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) idle: Option<Duration>,
    pub(crate) attempts_max: u32,
    pub(crate) attempts_window: Duration,
    pub(crate) hung_after: Duration,
    pub(crate) lag_max: Duration,
    pub(crate) lag_patience: Duration,
}

#[derive(Debug)]
struct Process {
    generation: Generation,
    rungs: BTreeSet<RenditionName>,
    /// Whether it was given pictures that it has not answered.
    owes: bool,
    last_fed: Option<Timestamp>,
    /// How long it was fed since it was last heard. A publisher that pauses stops this clock: a decoder that holds
    /// pictures back for reordering has nothing to say before the next one comes.
    silence: Duration,
    lags_since: Option<Timestamp>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Supervisor {
    policy: Policy,
    plan: BTreeSet<RenditionName>,
    lost: BTreeMap<RenditionName, Cause>,
    used: BTreeMap<RenditionName, Timestamp>,
    delivering: Option<Process>,
    successor: Option<Process>,
    failures: VecDeque<Timestamp>,
    generation: Generation,
    commands: VecDeque<Command>,
}

impl Supervisor {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            plan: BTreeSet::new(),
            lost: BTreeMap::new(),
            used: BTreeMap::new(),
            delivering: None,
            successor: None,
            failures: VecDeque::new(),
            generation: Generation::default(),
            commands: VecDeque::new(),
        }
    }

    /// A publisher's session, or a new shape of its picture: the rungs that are possible from here on. All processes end.
    pub(crate) fn handle_plan(&mut self, plan: BTreeSet<RenditionName>, now: Timestamp) {
        for process in self
            .delivering
            .take()
            .into_iter()
            .chain(self.successor.take())
        {
            self.commands.push_back(Command::Kill(process.generation));
        }
        self.plan = plan;
        self.lost.clear();
        self.failures.clear();
        self.reconcile(now);
    }

    /// Somebody asked for a rung.
    pub(crate) fn handle_use(&mut self, rung: RenditionName, now: Timestamp) {
        self.used.insert(rung, now);
        self.reconcile(now);
    }

    /// A process was given a picture, or should have been, had it not been too slow to take it.
    pub(crate) fn handle_fed(&mut self, generation: Generation, now: Timestamp) {
        let hung_after = self.policy.hung_after;
        // A distance that is longer than this is a pause.
        let step_max = Duration::from_nanos(hung_after.as_nanos() / 3);
        let Some(process) = self.process(generation) else {
            return;
        };
        let distance = process
            .last_fed
            .replace(now)
            .and_then(|last| now.since(last).to_duration());
        if std::mem::replace(&mut process.owes, true) {
            process.silence += distance.unwrap_or_default().min(step_max);
        }
        if process.silence >= hung_after {
            self.fail(generation, Cause::Hung, now);
        }
    }

    /// A process delivered a picture that is `lag` older than the newest it was given.
    pub(crate) fn handle_delivered(
        &mut self,
        generation: Generation,
        lag: Duration,
        now: Timestamp,
    ) {
        let lag_max = self.policy.lag_max;
        if let Some(process) = self.process(generation) {
            process.owes = lag > Duration::ZERO;
            process.silence = Duration::ZERO;
            if lag <= lag_max {
                process.lags_since = None;
            } else {
                process.lags_since.get_or_insert(now);
            }
        }
    }

    /// The successor delivers all its rungs from a key frame on.
    pub(crate) fn handle_taken_over(&mut self, generation: Generation) {
        if self
            .successor
            .as_ref()
            .is_some_and(|process| process.generation == generation)
            && let Some(old) = std::mem::replace(&mut self.delivering, self.successor.take())
        {
            self.commands.push_back(Command::Kill(old.generation));
        }
    }

    /// A process ended by itself, or said something that no encoder says.
    pub(crate) fn handle_failed(&mut self, generation: Generation, now: Timestamp) {
        if self.process(generation).is_some() {
            self.fail(generation, Cause::Exited, now);
        }
    }

    /// Looks at the clock; call at [`Self::next_timeout`] or later.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        let patience = self.policy.lag_patience;
        let slow = self
            .delivering
            .iter()
            .chain(&self.successor)
            .find(|process| {
                process
                    .lags_since
                    .is_some_and(|since| since + patience <= now)
            });
        if let Some(generation) = slow.map(|process| process.generation) {
            self.fail(generation, Cause::Slow, now);
        }
        self.reconcile(now);
    }

    /// When [`Self::handle_timeout`] is due; `None` while nothing runs.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        let processes = self.delivering.iter().chain(&self.successor);
        let health =
            processes.filter_map(|process| Some(process.lags_since? + self.policy.lag_patience));
        let running = self
            .delivering
            .iter()
            .chain(&self.successor)
            .flat_map(|process| &process.rungs);
        let idle = running.filter_map(|rung| Some(*self.used.get(rung)? + self.policy.idle?));
        health.chain(idle).min()
    }

    /// The next thing to do.
    pub(crate) fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The rungs that viewers may be offered: possible, and not lost.
    pub(crate) fn offered(&self) -> BTreeSet<RenditionName> {
        let offered = self
            .plan
            .iter()
            .filter(|rung| !self.lost.contains_key(rung));
        offered.copied().collect()
    }

    /// The rungs that do not come back in this session, and why.
    pub(crate) fn lost(&self) -> &BTreeMap<RenditionName, Cause> {
        &self.lost
    }

    fn process(&mut self, generation: Generation) -> Option<&mut Process> {
        let processes = self.delivering.iter_mut().chain(&mut self.successor);
        processes
            .into_iter()
            .find(|process| process.generation == generation)
    }

    fn wanted(&self, now: Timestamp) -> BTreeSet<RenditionName> {
        let in_use = |rung: &RenditionName| match self.policy.idle {
            None => true,
            Some(idle) => self.used.get(rung).is_some_and(|used| *used + idle > now),
        };
        self.offered().into_iter().filter(in_use).collect()
    }

    fn reconcile(&mut self, now: Timestamp) {
        let wanted = self.wanted(now);
        if wanted.is_empty() {
            for process in self
                .successor
                .take()
                .into_iter()
                .chain(self.delivering.take())
            {
                self.commands.push_back(Command::Kill(process.generation));
                self.commands.push_back(Command::Interrupted(process.rungs));
            }
            return;
        }
        let newest = self.successor.as_ref().or(self.delivering.as_ref());
        if newest.is_some_and(|process| process.rungs == wanted) {
            return;
        }
        if let Some(overtaken) = self.successor.take() {
            self.commands.push_back(Command::Kill(overtaken.generation));
        }
        if self
            .delivering
            .as_ref()
            .is_some_and(|process| process.rungs == wanted)
        {
            return;
        }
        self.generation.0 += 1;
        let process = Process {
            generation: self.generation,
            rungs: wanted.clone(),
            owes: false,
            last_fed: None,
            silence: Duration::ZERO,
            lags_since: None,
        };
        self.commands
            .push_back(Command::Start(self.generation, wanted));
        if self.delivering.is_none() {
            self.delivering = Some(process);
        } else {
            self.successor = Some(process);
        }
    }

    fn fail(&mut self, generation: Generation, cause: Cause, now: Timestamp) {
        self.commands.push_back(Command::Kill(generation));
        let is_successor = self
            .successor
            .as_ref()
            .is_some_and(|process| process.generation == generation);
        let failed = if is_successor {
            self.successor.take()
        } else {
            self.delivering.take()
        };
        let Some(failed) = failed else { return };
        if !is_successor {
            self.delivering = self.successor.take();
            self.commands
                .push_back(Command::Interrupted(failed.rungs.clone()));
        }
        if cause == Cause::Slow {
            self.lose(
                failed.rungs.iter().next().into_iter().copied().collect(),
                cause,
            );
        } else {
            self.failures.push_back(now);
            while self
                .failures
                .front()
                .is_some_and(|at| *at + self.policy.attempts_window < now)
            {
                self.failures.pop_front();
            }
            if self.failures.len() >= self.policy.attempts_max as usize {
                self.lose(failed.rungs, cause);
            }
        }
        self.reconcile(now);
    }

    fn lose(&mut self, rungs: BTreeSet<RenditionName>, cause: Cause) {
        self.lost.extend(rungs.iter().map(|rung| (*rung, cause)));
        self.commands.push_back(Command::Lost(rungs, cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RenditionName::{P240, P480};
    use std::fmt::Write as _;

    const POLICY: Policy = Policy {
        idle: Some(Duration::from_secs(60)),
        attempts_max: 3,
        attempts_window: Duration::from_secs(60),
        hung_after: Duration::from_millis(1_500),
        lag_max: Duration::from_secs(2),
        lag_patience: Duration::from_secs(3),
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn drain(supervisor: &mut Supervisor) -> String {
        let names = |rungs: &BTreeSet<RenditionName>| {
            rungs
                .iter()
                .map(|rung| rung.as_str())
                .collect::<Vec<_>>()
                .join("+")
        };
        let mut text = String::new();
        while let Some(command) = supervisor.poll_command() {
            match command {
                Command::Start(generation, rungs) => {
                    write!(text, "start {} {}; ", generation.0, names(&rungs))
                }
                Command::Kill(generation) => write!(text, "kill {}; ", generation.0),
                Command::Interrupted(rungs) => write!(text, "interrupted {}; ", names(&rungs)),
                Command::Lost(rungs, cause) => {
                    write!(text, "lost {} {}; ", names(&rungs), cause.as_str())
                }
            }
            .unwrap();
        }
        text
    }

    fn running() -> Supervisor {
        let mut supervisor = Supervisor::new(POLICY);
        supervisor.handle_plan([P480, P240].into(), at(0));
        assert_eq!(drain(&mut supervisor), "", "nobody watches, nothing runs");
        supervisor.handle_use(P480, at(0));
        assert_eq!(drain(&mut supervisor), "start 1 480p; ");
        supervisor
    }

    #[test]
    fn a_second_rung_is_taken_over_without_interrupting_the_first() {
        let mut supervisor = running();
        supervisor.handle_use(P240, at(100));
        assert_eq!(drain(&mut supervisor), "start 2 480p+240p; ");
        supervisor.handle_use(P240, at(200));
        assert_eq!(drain(&mut supervisor), "", "asked for already");
        supervisor.handle_taken_over(Generation(2));
        assert_eq!(drain(&mut supervisor), "kill 1; ");
    }

    #[test]
    fn an_idle_rung_stops_after_a_minute_and_the_last_one_ends_the_process() {
        let mut supervisor = running();
        supervisor.handle_use(P240, at(30_000));
        drain(&mut supervisor);
        supervisor.handle_taken_over(Generation(2));
        drain(&mut supervisor);
        assert_eq!(supervisor.next_timeout(), Some(at(60_000)));
        supervisor.handle_timeout(at(60_000));
        assert_eq!(drain(&mut supervisor), "start 3 240p; ");
        supervisor.handle_taken_over(Generation(3));
        drain(&mut supervisor);
        supervisor.handle_timeout(at(90_000));
        assert_eq!(drain(&mut supervisor), "kill 3; interrupted 240p; ");
        assert_eq!(supervisor.next_timeout(), None);
    }

    #[test]
    fn pkg_03_a_dead_encoder_is_replaced_thrice_and_then_its_rungs_are_lost() {
        let mut supervisor = running();
        supervisor.handle_failed(Generation(1), at(1_000));
        assert_eq!(
            drain(&mut supervisor),
            "kill 1; interrupted 480p; start 2 480p; "
        );
        supervisor.handle_failed(Generation(2), at(2_000));
        assert_eq!(
            drain(&mut supervisor),
            "kill 2; interrupted 480p; start 3 480p; "
        );
        supervisor.handle_failed(Generation(3), at(3_000));
        assert_eq!(
            drain(&mut supervisor),
            "kill 3; interrupted 480p; lost 480p exited; "
        );
        assert_eq!(supervisor.offered(), [P240].into());
        supervisor.handle_use(P480, at(4_000));
        assert_eq!(drain(&mut supervisor), "");
    }

    #[test]
    fn failures_that_lie_far_apart_are_forgiven() {
        let mut supervisor = running();
        for (index, second) in [0, 61, 122, 183].into_iter().enumerate() {
            supervisor.handle_use(P480, at(second * 1_000));
            drain(&mut supervisor);
            supervisor.handle_failed(Generation(index as u64 + 1), at(second * 1_000));
            assert!(drain(&mut supervisor).contains("start"), "after {second} s");
        }
    }

    /// Feeds a picture each 33 ms from `from` to `until`; what the supervisor says, and when it was first said.
    fn feed(supervisor: &mut Supervisor, from: i64, until: i64) -> (String, i64) {
        for millis in (from..=until).step_by(33) {
            supervisor.handle_fed(Generation(1), at(millis));
            supervisor.handle_timeout(at(millis));
            let said = drain(supervisor);
            if !said.is_empty() {
                return (said, millis);
            }
        }
        (String::new(), until)
    }

    const REPLACED: &str = "kill 1; interrupted 480p; start 2 480p; ";

    #[test]
    fn pkg_03_a_hung_encoder_is_replaced_within_two_seconds() {
        let mut supervisor = running();
        supervisor.handle_fed(Generation(1), at(1_000));
        supervisor.handle_delivered(Generation(1), Duration::ZERO, at(1_010));
        let (said, when) = feed(&mut supervisor, 1_033, 10_000);
        assert_eq!(said, REPLACED);
        assert!((2_533..2_600).contains(&when), "{when}");
    }

    #[test]
    fn an_encoder_that_is_owed_nothing_is_not_hung() {
        let mut supervisor = running();
        supervisor.handle_fed(Generation(1), at(1_000));
        supervisor.handle_delivered(Generation(1), Duration::ZERO, at(1_010));
        supervisor.handle_timeout(at(20_000));
        assert_eq!(drain(&mut supervisor), "");
        supervisor.handle_fed(Generation(1), at(20_033));
        assert_eq!(drain(&mut supervisor), "");
    }

    #[test]
    fn a_publishers_pause_is_not_its_encoders_silence() {
        let mut supervisor = running();
        // The decoder holds the newest picture back: something is owed during the whole pause, of whatever length.
        for pause in [3_100, 20_000] {
            supervisor.handle_fed(Generation(1), at(pause));
            supervisor.handle_fed(Generation(1), at(pause + 33));
            supervisor.handle_delivered(Generation(1), Duration::from_millis(33), at(pause + 40));
            let resumed = 2 * pause + 33;
            supervisor.handle_timeout(at(resumed - 1));
            assert_eq!(
                feed(&mut supervisor, resumed, resumed + 900).0,
                "",
                "{pause}"
            );
            supervisor.handle_delivered(
                Generation(1),
                Duration::from_millis(33),
                at(resumed + 910),
            );
        }
    }

    #[test]
    fn pkg_03_an_encoder_that_hangs_before_or_after_a_pause_is_found_once_pictures_come_again() {
        let mut supervisor = running();
        assert_eq!(feed(&mut supervisor, 0, 1_000).0, "");
        let (said, when) = feed(&mut supervisor, 5_000, 20_000);
        assert_eq!(said, REPLACED);
        assert!(when < 6_000, "{when}");
    }

    #[test]
    fn pkg_03_a_picture_a_second_shows_a_hung_encoder_too() {
        let mut supervisor = running();
        for second in 0..3 {
            supervisor.handle_fed(Generation(1), at(second * 1_000));
        }
        assert_eq!(drain(&mut supervisor), "");
        supervisor.handle_fed(Generation(1), at(3_000));
        assert_eq!(drain(&mut supervisor), REPLACED);
    }

    #[test]
    fn pkg_04_overload_drops_rungs_from_the_top() {
        let mut supervisor = running();
        supervisor.handle_use(P240, at(0));
        supervisor.handle_taken_over(Generation(2));
        drain(&mut supervisor);
        for second in 1..=4 {
            supervisor.handle_delivered(
                Generation(2),
                Duration::from_millis(2_500),
                at(second * 1_000),
            );
        }
        supervisor.handle_timeout(at(4_000));
        assert_eq!(
            drain(&mut supervisor),
            "kill 2; interrupted 480p+240p; lost 480p slow; start 3 240p; "
        );
    }

    #[test]
    fn a_new_shape_of_the_picture_starts_afresh() {
        let mut supervisor = running();
        supervisor.handle_plan([P240].into(), at(500));
        assert_eq!(drain(&mut supervisor), "kill 1; ");
        supervisor.handle_use(P240, at(600));
        assert_eq!(drain(&mut supervisor), "start 2 240p; ");
    }
}
