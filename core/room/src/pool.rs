//! Which comments are shown when more come than people can read.
//!
//! In → Out: candidates → the few for the next beat, in the order in which they came, and those that lost.
//! The broadcaster and moderators always pass. Of one author only the newest stays in the race. First-time writers and
//! replies come before the rest; among equals chance decides, so that nobody wins by being fast.
//! Spec: `docs/ix.md`, "Ranking".

use media::{Duration, UnixTime};

use crate::{CommentId, Random, ViewerId};

/// A comment that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: CommentId,
    pub(crate) author: ViewerId,
    /// Larger comes first.
    pub(crate) weight: u8,
    pub(crate) since: UnixTime,
    /// Shown whatever the rate.
    pub(crate) exempt: bool,
}

/// The candidates of one room, oldest first.
#[derive(Debug)]
pub(crate) struct Pool {
    waiting: Vec<(Candidate, u64)>,
    max: usize,
}

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            waiting: Vec::new(),
            max: max.max(1),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Enters the race; returns who had to leave it: the author's older comment, or, when the pool is full, the weakest
    /// (which may be the newcomer).
    pub(crate) fn enter(&mut self, candidate: Candidate, random: &mut Random) -> Option<CommentId> {
        let older = self
            .waiting
            .iter()
            .position(|(other, _)| other.author == candidate.author && !other.exempt);
        let mut lost = older
            .filter(|_| !candidate.exempt)
            .map(|index| self.waiting.remove(index).0.id);
        self.waiting.push((candidate, random.next_u64()));
        if self.waiting.len() > self.max {
            let weakest = (0..self.waiting.len()).min_by_key(|index| {
                let (entry, chance) = &self.waiting[*index];
                (entry.exempt, entry.weight, *chance)
            });
            lost = weakest.map(|index| self.waiting.remove(index).0.id);
        }
        lost
    }

    /// Takes a comment out of the race; true if it was in it.
    pub(crate) fn withdraw(&mut self, id: CommentId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(candidate, _)| candidate.id != id);
        self.waiting.len() < before
    }

    /// All waiting comments of one author.
    pub(crate) fn by_author(&self, author: ViewerId) -> Vec<CommentId> {
        self.waiting
            .iter()
            .filter(|(candidate, _)| candidate.author == author)
            .map(|(candidate, _)| candidate.id)
            .collect()
    }

    /// The best `room` candidates and all exempt ones, oldest first.
    pub(crate) fn take(&mut self, room: u32) -> Vec<CommentId> {
        let mut ranked: Vec<usize> = (0..self.waiting.len()).collect();
        ranked.sort_by_key(|index| {
            let (entry, chance) = &self.waiting[*index];
            std::cmp::Reverse((entry.exempt, entry.weight, *chance))
        });
        let exempt = self
            .waiting
            .iter()
            .filter(|(entry, _)| entry.exempt)
            .count();
        ranked.truncate(
            exempt
                + usize::try_from(room)
                    .unwrap_or(usize::MAX)
                    .min(self.waiting.len()),
        );
        ranked.sort_unstable();
        let taken: Vec<CommentId> = ranked
            .iter()
            .map(|index| self.waiting[*index].0.id)
            .collect();
        self.waiting.retain(|(entry, _)| !taken.contains(&entry.id));
        taken
    }

    /// Those that waited as long as they may.
    pub(crate) fn expire(&mut self, wait: Duration, now: UnixTime) -> Vec<CommentId> {
        let late = |candidate: &Candidate| now.since(candidate.since).magnitude() >= wait;
        let lost = self
            .waiting
            .iter()
            .filter(|(entry, _)| late(entry))
            .map(|(entry, _)| entry.id)
            .collect();
        self.waiting.retain(|(entry, _)| !late(entry));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: u64, author: u64, weight: u8) -> Candidate {
        let since = UnixTime::from_millis(id);
        Candidate {
            id: CommentId(id),
            author: ViewerId(author),
            weight,
            since,
            exempt: weight == 9,
        }
    }

    #[test]
    fn the_best_are_taken_and_keep_their_order() {
        let mut pool = Pool::new(10);
        let mut random = Random::new(3);
        for (id, weight) in [(1, 0), (2, 2), (3, 0), (4, 1), (5, 9)] {
            assert_eq!(pool.enter(candidate(id, id, weight), &mut random), None);
        }
        assert_eq!(pool.take(2), [CommentId(2), CommentId(4), CommentId(5)]);
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn one_author_has_one_comment_in_the_race() {
        let mut pool = Pool::new(10);
        let mut random = Random::new(3);
        assert_eq!(pool.enter(candidate(1, 7, 0), &mut random), None);
        assert_eq!(
            pool.enter(candidate(2, 7, 0), &mut random),
            Some(CommentId(1))
        );
        assert_eq!(pool.take(5), [CommentId(2)]);
    }

    #[test]
    fn a_full_pool_drops_the_weakest_and_never_the_broadcaster() {
        let mut pool = Pool::new(2);
        let mut random = Random::new(3);
        pool.enter(candidate(1, 1, 9), &mut random);
        pool.enter(candidate(2, 2, 0), &mut random);
        assert_eq!(
            pool.enter(candidate(3, 3, 1), &mut random),
            Some(CommentId(2))
        );
        assert_eq!(pool.take(0), [CommentId(1)]);
    }

    #[test]
    fn equal_candidates_win_by_chance_and_not_by_being_first() {
        let mut first_wins = 0;
        for seed in 0..200 {
            let mut pool = Pool::new(10);
            let mut random = Random::new(seed);
            for id in 0..4 {
                pool.enter(candidate(id, id, 0), &mut random);
            }
            first_wins += u32::from(pool.take(1) == [CommentId(0)]);
        }
        assert!((30..=70).contains(&first_wins), "{first_wins} of 200");
    }
}
