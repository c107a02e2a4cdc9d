//! What the operator allows, and what a room tells all its viewers to do.
//!
//! In → Out: configuration → [`Policy`]; a room's state → [`Rules`], one line that throttles any number of viewers.
//! Spec: `docs/ix.md`, "Rules" and "Limits".

use media::Duration;

pub use crate::bucket::Rate;

/// Who may comment. Hearts are always open to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Everybody.
    #[default]
    All,
    /// Only viewers whom a moderator approved.
    Approved,
    /// The first so many different writers; at most [`Gate::FIRST_MAX`].
    First(u32),
    /// Only the broadcaster and moderators.
    Nobody,
}

impl Gate {
    /// The largest `First`.
    pub const FIRST_MAX: u32 = 1_000;
}

/// What viewers' pages have to do now. Said in each snapshot, and in a beat when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A page sums taps this long before it sends them.
    pub tap_every: Duration,
    /// A page keeps one tap in so many, at random, and says so; 0: it sends none.
    pub tap_one_in: u32,
    /// How often a page says that it is there.
    pub heartbeat_every: Duration,
    /// One page in so many says it, drawn anew each time.
    pub heartbeat_one_in: u32,
    /// The least time between two comments of one viewer; zero: no slow mode.
    pub slow: Duration,
    /// Who may comment.
    pub gate: Gate,
    /// The time between two beats.
    pub beat_every: Duration,
    /// A page that lost its connection waits a random time up to this.
    pub reconnect_jitter: Duration,
    /// Whether reports draw flash juries.
    pub juries: bool,
}

/// Limits of the way up, for one viewer and one address prefix.
#[derive(Clone, Copy, Debug)]
pub struct IntakePolicy {
    /// Requests of one viewer.
    pub viewer_posts: Rate,
    /// Hearts of one viewer that count.
    pub viewer_hearts: Rate,
    /// Comments of one viewer.
    pub viewer_comments: Rate,
    /// Requests of one address prefix.
    pub prefix_posts: Rate,
    /// Hearts of one address prefix that count.
    pub prefix_hearts: Rate,
    /// Comments of one address prefix.
    pub prefix_comments: Rate,
    /// How many viewers are remembered; the least recent are forgotten first.
    pub viewers_max: usize,
    /// How many address prefixes are remembered.
    pub prefixes_max: usize,
    /// Taps older than this when they arrive are not counted: their moment has passed.
    pub taps_age_max: Duration,
}

impl Default for IntakePolicy {
    fn default() -> Self {
        Self {
            viewer_posts: Rate::new(12, 36),
            viewer_hearts: Rate::new(10, 30),
            viewer_comments: Rate::new(1, 5),
            prefix_posts: Rate::new(2_000, 4_000),
            prefix_hearts: Rate::new(2_000, 4_000),
            prefix_comments: Rate::new(50, 100),
            viewers_max: 262_144,
            prefixes_max: 8_192,
            taps_age_max: Duration::from_secs(10),
        }
    }
}

/// The flash jury.
#[derive(Clone, Copy, Debug)]
pub struct JuryPolicy {
    /// Whether reports draw juries at all.
    pub enabled: bool,
    /// How many viewers are asked.
    pub size: usize,
    /// Fewer eligible viewers than this: no jury; moderators still see the report.
    pub size_min: usize,
    /// The least number of votes that decide anything.
    pub turnout_min: usize,
    /// How long the jurors have.
    pub time: Duration,
    /// The first mute; the second lasts for the rest of the broadcast.
    pub mute: Duration,
    /// The least time between two juries over one author, and between two reports of one viewer.
    pub pause: Duration,
    /// Juries at the same time; more reports than that go to moderators only.
    pub open_max: usize,
    /// Presence from which a juror's vote counts double.
    pub settled: Duration,
}

impl Default for JuryPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            size: 5,
            size_min: 3,
            turnout_min: 3,
            time: Duration::from_secs(15),
            mute: Duration::from_secs(60),
            pause: Duration::from_secs(10),
            open_max: 4,
            settled: Duration::from_secs(60),
        }
    }
}

/// What the operator allows one room. Every bound of the room is here or beside the thing that it bounds.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The time between two beats at levels 0 and 1.
    pub beat_every: Duration,
    /// The time between two beats from level 2 on.
    pub beat_every_loaded: Duration,
    /// The most time between something happening and the broadcaster seeing it.
    pub micro_every: Duration,
    /// Comments that people can read.
    pub shown: Rate,
    /// The same from level 2 on, where hearts fill the screen and bytes are dear.
    pub shown_loaded: Rate,
    /// Comments that the broadcaster and moderators get.
    pub micro_comments: Rate,
    /// Comments that wait for the ranking; more are refused.
    pub candidates_max: usize,
    /// How long a comment may wait for its turn before it has lost.
    pub candidate_wait: Duration,
    /// Comments that wait for the review hook; more take the fallback at once.
    pub reviews_max: usize,
    /// How long the review hook has; `None`: no review.
    pub review: Option<Review>,
    /// Comments remembered for moderation and against repetition.
    pub history_max: usize,
    /// Comments in a snapshot.
    pub snapshot_comments: usize,
    /// Names in one beat's joins.
    pub join_names: usize,
    /// Viewers whom the room knows by id; above this the count is an estimate and jurors come from a sample.
    pub present_max: usize,
    /// Muted, blocked and approved viewers and moderators: the most of each.
    pub marked_max: usize,
    /// Interaction requests a second that the room wants at most; above it viewers sample.
    pub posts_per_second: u32,
    /// Heartbeats a second that the room wants at most.
    pub heartbeats_per_second: u32,
    /// How often a page says that it is there.
    pub heartbeat_every: Duration,
    /// How long a page sums taps at levels 0 and 1.
    pub tap_every: Duration,
    /// How long a page sums taps from level 2 on.
    pub tap_every_loaded: Duration,
    /// How long load must be low before the level falls.
    pub calm: Duration,
    /// The flash jury.
    pub jury: JuryPolicy,
    /// Words that comments and names may not contain.
    pub words: crate::WordList,
}

/// The review hook's limit and what happens when it does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    /// How long an answer may take.
    pub time: Duration,
    /// Whether a comment passes when no answer came.
    pub fallback: Fallback,
}

/// What a missing review means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The comment passes.
    Allow,
    /// The comment is refused.
    Deny,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            beat_every: Duration::from_millis(250),
            beat_every_loaded: Duration::from_millis(400),
            micro_every: Duration::from_millis(100),
            shown: Rate::new(6, 8),
            shown_loaded: Rate::new(2, 4),
            micro_comments: Rate::new(50, 50),
            candidates_max: 256,
            candidate_wait: Duration::from_secs(1),
            reviews_max: 256,
            review: None,
            history_max: 512,
            snapshot_comments: 10,
            join_names: 3,
            present_max: 2_048,
            marked_max: 4_096,
            posts_per_second: 5_000,
            heartbeats_per_second: 1_000,
            heartbeat_every: Duration::from_secs(10),
            tap_every: Duration::from_millis(100),
            tap_every_loaded: Duration::from_millis(250),
            calm: Duration::from_secs(10),
            jury: JuryPolicy::default(),
            words: crate::WordList::default(),
        }
    }
}
