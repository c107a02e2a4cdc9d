//! A collector: takes viewers' requests, holds them to the limits, and sums them before the room sees anything.
//!
//! In → Out: [`Post`]s → a [`Receipt`] each, and one [`Contribution`] a flush however many viewers there are.
//! A repeated request (same id) gets the first receipt again and counts nothing. Hearts beyond a viewer's or a network's
//! rate are not counted and not acknowledged. Memory is bounded by the policy: the least recent viewers are forgotten.
//! Spec: `docs/ix.md`, "The way up" and "Limits".

use std::collections::BTreeMap;

use media::{Duration, UnixTime};

use crate::bucket::Bucket;
use crate::level::Ladder;
use crate::presence::variance;
use crate::{
    Colour, CommentId, CommentText, IntakePolicy, JuryId, Name, Prefix, Refusal, Rules, TextError,
    ViewerId, Vote,
};

/// One request of a viewer's page, parsed and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// Chosen at random by the page; the same in each repetition.
    pub id: u64,
    /// Taps since the last request.
    pub taps: Option<Taps>,
    /// At most [`Post::COMMENTS_MAX`].
    pub comments: Vec<Written>,
    /// "I am here".
    pub heartbeat: Option<Heartbeat>,
    /// "I am gone".
    pub leave: bool,
    /// A report of a comment.
    pub report: Option<CommentId>,
    /// A juror's vote.
    pub vote: Option<(JuryId, Vote)>,
    /// Whether this viewer sits in juries; said when it changes.
    pub jury: Option<bool>,
}

impl Post {
    /// The most comments in one request.
    pub const COMMENTS_MAX: usize = 4;
    /// The most taps in one request.
    pub const TAPS_MAX: u32 = 100;
}

/// Taps of one viewer, after sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// How many are reported: 1–[`Post::TAPS_MAX`].
    pub count: u32,
    /// Each stands for so many; at least 1.
    pub one_in: u32,
    /// How long ago the oldest of them was, when the request was sent.
    pub age: Duration,
}

/// A comment as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: CommentId,
    /// The text, or why it is none.
    pub text: Result<CommentText, TextError>,
    /// The media time that the author was looking at.
    pub media: Option<UnixTime>,
}

/// "I am here."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Stands for so many viewers; at least 1.
    pub one_in: u32,
    /// The first one of this page.
    pub joined: bool,
}

/// Who sends a request: proved by a token, and an address as a hash.
#[derive(Clone, Debug)]
pub struct Source {
    /// The viewer.
    pub viewer: ViewerId,
    /// The viewer's display name.
    pub name: Name,
    /// The viewer's network.
    pub prefix: Prefix,
}

/// What of a request counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Hearts counted, each with its weight.
    pub hearts: u64,
    /// The first so many comments may go to the room.
    pub comments: u32,
    /// True if this very request was counted before.
    pub repeated: bool,
}

/// A viewer's heartbeat, named.
#[derive(Clone, Debug)]
pub struct Present {
    /// Who.
    pub viewer: ViewerId,
    /// From which network.
    pub prefix: Prefix,
    /// The display name, for joins.
    pub name: Option<Name>,
    /// Stands for so many viewers.
    pub one_in: u32,
    /// The first one of this page.
    pub joined: bool,
}

/// What a collector passes to the room: sums, and a bounded list of names.
#[derive(Clone, Debug, Default)]
pub struct Contribution {
    /// Hearts by colour, weighted.
    pub hearts: [u64; Colour::COUNT],
    /// Tap requests that would have come if nobody sampled.
    pub posts: u64,
    /// Heartbeats with their viewers; at most [`Contribution::PRESENT_MAX`].
    pub present: Vec<Present>,
    /// Viewers that the heartbeats beyond that list stand for.
    pub unnamed: u64,
    /// The variance of that number.
    pub unnamed_variance: u64,
    /// Viewers that came beyond that list.
    pub unnamed_joins: u64,
    /// Viewers that said goodbye; at most [`Contribution::PRESENT_MAX`].
    pub left: Vec<ViewerId>,
    /// Taps that were dropped: too old or over a limit.
    pub dropped: u64,
}

impl Contribution {
    /// The most viewers named in one contribution.
    pub const PRESENT_MAX: usize = 512;

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        self.posts == 0
            && self.present.is_empty()
            && self.unnamed == 0
            && self.left.is_empty()
            && self.dropped == 0
    }
}

#[derive(Clone, Debug)]
struct Viewer {
    posts: Bucket,
    comments: Bucket,
    /// In weighted hearts.
    hearts: Bucket,
    /// The last requests and what of them counted; zero ids are empty places.
    recent: [(u64, Receipt); 4],
    heartbeat: UnixTime,
}

#[derive(Clone, Debug)]
struct Network {
    posts: Bucket,
    hearts: Bucket,
    comments: Bucket,
}

/// A bounded map that forgets the least recent: when the young half is full, the old half goes.
#[derive(Debug)]
struct Generations<K, V> {
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
    max: usize,
}

impl<K: Ord + Copy, V> Generations<K, V> {
    fn new(max: usize) -> Self {
        Self {
            young: BTreeMap::new(),
            old: BTreeMap::new(),
            max: max.max(2),
        }
    }

    fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_else(make);
            if self.young.len() >= self.max / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            return self.young.entry(key).or_insert(value);
        }
        self.young.entry(key).or_insert_with(make)
    }

    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// The collector of one room on one node.
#[derive(Debug)]
pub struct Intake {
    policy: IntakePolicy,
    viewers: Generations<ViewerId, Viewer>,
    prefixes: Generations<Prefix, Network>,
    heartbeat_every: Duration,
    /// Samplings that pages may still be using, and until when; the last one is the current one.
    tap_samplings: Vec<(u32, UnixTime)>,
    heartbeat_samplings: Vec<(u32, UnixTime)>,
    pending: Contribution,
}

impl Intake {
    /// How long pages may take to obey new rules: two beats, a cache, a slow network.
    const OBEY: Duration = Duration::from_secs(30);

    /// An empty collector; rules come by [`Intake::handle_rules`].
    pub fn new(policy: IntakePolicy) -> Self {
        Self {
            policy,
            viewers: Generations::new(policy.viewers_max),
            prefixes: Generations::new(policy.prefixes_max),
            heartbeat_every: Duration::from_secs(10),
            tap_samplings: vec![(1, UnixTime::default())],
            heartbeat_samplings: vec![(1, UnixTime::default())],
            pending: Contribution::default(),
        }
    }

    /// The room's rules have changed.
    pub fn handle_rules(&mut self, rules: &Rules, now: UnixTime) {
        self.heartbeat_every = rules.heartbeat_every;
        replace(
            &mut self.tap_samplings,
            rules.tap_one_in,
            now + Self::OBEY,
            now,
        );
        replace(
            &mut self.heartbeat_samplings,
            rules.heartbeat_one_in,
            now + Self::OBEY,
            now,
        );
    }

    /// Takes one request. An error refuses the whole of it.
    pub fn handle_post(
        &mut self,
        source: &Source,
        post: &Post,
        now: UnixTime,
    ) -> Result<Receipt, Refusal> {
        let policy = self.policy;
        let network = self.prefixes.entry(source.prefix, || Network {
            posts: Bucket::full(policy.prefix_posts, now),
            hearts: Bucket::full(policy.prefix_hearts, now),
            comments: Bucket::full(policy.prefix_comments, now),
        });
        let viewer = self.viewers.entry(source.viewer, || Viewer {
            posts: Bucket::full(policy.viewer_posts, now),
            comments: Bucket::full(policy.viewer_comments, now),
            hearts: Bucket::full(policy.viewer_hearts, now),
            recent: [(0, Receipt::default()); 4],
            heartbeat: UnixTime::default(),
        });
        // A repetition is answered before any limit: its first form has paid.
        if let Some((_, receipt)) = viewer
            .recent
            .iter()
            .find(|(id, _)| *id == post.id && post.id != 0)
        {
            return Ok(Receipt {
                repeated: true,
                ..*receipt
            });
        }
        if viewer.posts.take(policy.viewer_posts, 1, now) == 0 {
            return Err(Refusal::RateViewer);
        }
        if network.posts.take(policy.prefix_posts, 1, now) == 0 {
            return Err(Refusal::RatePrefix);
        }
        let offered = u32::try_from(post.comments.len()).unwrap_or(u32::MAX);
        let allowed = viewer.comments.take(policy.viewer_comments, offered, now);
        let comments = network.comments.take(policy.prefix_comments, allowed, now);
        let hearts = post.taps.map_or(0, |taps| {
            let one_in = accepted(&self.tap_samplings, taps.one_in, now);
            count_hearts(&policy, viewer, network, Taps { one_in, ..taps }, now)
        });
        let receipt = Receipt {
            hearts,
            comments,
            repeated: false,
        };
        viewer.recent.rotate_right(1);
        viewer.recent[0] = (post.id, receipt);
        let beats = post.heartbeat.is_some() && is_due(viewer, self.heartbeat_every, now);
        self.collect(source, post, hearts, beats, now);
        Ok(receipt)
    }

    /// What has come since the last flush; `None` if nothing.
    pub fn poll_contribution(&mut self) -> Option<Contribution> {
        if self.pending.is_empty() {
            None
        } else {
            Some(std::mem::take(&mut self.pending))
        }
    }

    /// How many viewers are remembered; at most the policy's bound.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    fn collect(&mut self, source: &Source, post: &Post, hearts: u64, beats: bool, now: UnixTime) {
        let pending = &mut self.pending;
        if let Some(taps) = post.taps {
            let one_in = accepted(&self.tap_samplings, taps.one_in, now);
            let sum = &mut pending.hearts[source.viewer.colour().index()];
            *sum = sum.saturating_add(hearts);
            pending.posts = pending.posts.saturating_add(u64::from(one_in));
            pending.dropped = pending
                .dropped
                .saturating_add(u64::from(taps.count).saturating_sub(hearts / u64::from(one_in)));
        }
        if let Some(heartbeat) = post.heartbeat.filter(|_| beats) {
            let one_in = accepted(&self.heartbeat_samplings, heartbeat.one_in, now);
            if pending.present.len() < Contribution::PRESENT_MAX {
                let name = heartbeat.joined.then(|| source.name.clone());
                let (viewer, prefix, joined) = (source.viewer, source.prefix, heartbeat.joined);
                pending.present.push(Present {
                    viewer,
                    prefix,
                    name,
                    one_in,
                    joined,
                });
            } else {
                pending.unnamed += u64::from(one_in);
                pending.unnamed_variance += variance(one_in);
                pending.unnamed_joins += if heartbeat.joined {
                    u64::from(one_in)
                } else {
                    0
                };
            }
        }
        if post.leave && pending.left.len() < Contribution::PRESENT_MAX {
            pending.left.push(source.viewer);
        }
    }
}

/// Hearts that fit the limits, weighted. Limits are in weighted hearts, so that a claimed sampling buys nothing.
fn count_hearts(
    policy: &IntakePolicy,
    viewer: &mut Viewer,
    network: &mut Network,
    taps: Taps,
    now: UnixTime,
) -> u64 {
    if taps.age > policy.taps_age_max {
        return 0;
    }
    let mine = viewer.hearts.take_units(
        policy.viewer_hearts,
        taps.one_in,
        taps.count.min(Post::TAPS_MAX),
        now,
    );
    let counted = network
        .hearts
        .take_units(policy.prefix_hearts, taps.one_in, mine, now);
    u64::from(counted) * u64::from(taps.one_in)
}

/// Heartbeats that come faster than they may are not counted.
fn is_due(viewer: &mut Viewer, every: Duration, now: UnixTime) -> bool {
    let early = Duration::from_nanos(every.as_nanos() / 2);
    let due = now.since(viewer.heartbeat).magnitude() >= early;
    if due {
        viewer.heartbeat = now;
    }
    due
}

/// The sampling that a page claims, if it was told so lately; else 1, which buys it nothing.
fn accepted(samplings: &[(u32, UnixTime)], claimed: u32, now: UnixTime) -> u32 {
    let last = samplings.len().saturating_sub(1);
    let known = samplings
        .iter()
        .enumerate()
        .any(|(index, (one_in, until))| *one_in == claimed && (index == last || now < *until));
    if known {
        claimed.clamp(1, Ladder::ONE_IN_MAX)
    } else {
        1
    }
}

fn replace(samplings: &mut Vec<(u32, UnixTime)>, one_in: u32, until: UnixTime, now: UnixTime) {
    if samplings
        .last()
        .is_some_and(|(current, _)| *current == one_in)
    {
        return;
    }
    if let Some(current) = samplings.last_mut() {
        current.1 = until;
    }
    samplings.retain(|(_, until)| now < *until);
    // Rules change at most once a second: more than this means that something is broken, and the oldest go.
    samplings.drain(..samplings.len().saturating_sub(31));
    samplings.push((one_in, until));
}
