//! Drives one room in virtual time.
//!
//! In → Out: inputs at millisecond times → everything that the room put out, with the time.
//! Spec: `docs/ix.md`.

use media::UnixTime;
use room::{
    Beat, CommentId, CommentText, Contribution, Draft, Input, Name, Output, Policy, Prefix,
    Present, Refusal, Room, Start, ViewerId,
};

/// Virtual time begins here, so that nothing is near zero.
pub(crate) const BEGIN: u64 = 1_795_350_000_000;

pub(crate) struct Driver {
    pub(crate) room: Room,
    pub(crate) now: u64,
    pub(crate) outputs: Vec<(u64, Output)>,
}

impl Driver {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::restarted(
            policy,
            Start {
                epoch: 1,
                seed: 7,
                snapshot: None,
                ..Start::default()
            },
            BEGIN,
        )
    }

    pub(crate) fn restarted(policy: Policy, start: Start, now: u64) -> Self {
        Self {
            room: Room::new(policy, start, UnixTime::from_millis(now)),
            now,
            outputs: Vec::new(),
        }
    }

    pub(crate) fn time(&self) -> UnixTime {
        UnixTime::from_millis(self.now)
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.room.handle(input, self.time());
        self.drain();
    }

    /// Lets time pass, stopping at each timeout that the room asks for.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = self.now + millis;
        let mut steps = 0;
        while let Some(due) = self.room.next_timeout() {
            let due = due.as_nanos().div_ceil(1_000_000);
            if due > end {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "the room asks for timeouts without end");
            self.now = due.max(self.now);
            self.room.handle_timeout(self.time());
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            self.outputs.push((self.now, output));
        }
    }

    pub(crate) fn comment(&mut self, id: u64, author: u64, text: &str) {
        self.handle(Input::Comment(draft(id, author, text)));
    }

    pub(crate) fn hearts(&mut self, colour: usize, count: u64) {
        let mut contribution = Contribution {
            posts: 1,
            ..Contribution::default()
        };
        contribution.hearts[colour] = count;
        self.handle(Input::Collected(contribution));
    }

    /// Viewers `0..count` say that they are there.
    pub(crate) fn present(&mut self, viewers: impl IntoIterator<Item = u64>) {
        let present = viewers.into_iter().map(|id| Present {
            viewer: ViewerId(id),
            prefix: Prefix(id),
            name: Some(name(id)),
            one_in: 1,
            joined: true,
        });
        self.handle(Input::Collected(Contribution {
            present: present.collect(),
            ..Contribution::default()
        }));
    }

    pub(crate) fn beats(&self) -> Vec<Beat> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Beat(beat) => Some(beat.clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn verdicts(&self, id: u64) -> Vec<Result<u64, Refusal>> {
        self.outputs
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Verdict(comment, _, verdict) if *comment == CommentId(id) => Some(*verdict),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn name(id: u64) -> Name {
    Name::parse(&format!("viewer {}", id % 10_000)).unwrap()
}

pub(crate) fn draft(id: u64, author: u64, text: &str) -> Draft {
    Draft {
        id: CommentId(id),
        author: ViewerId(author),
        name: name(author),
        text: CommentText::parse(text).unwrap(),
        media: None,
        by_broadcaster: false,
    }
}
