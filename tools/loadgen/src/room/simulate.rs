//! `loadgen simulate-room`: the table of a million viewers.
//!
//! In → Out: an audience and the measured delay of a cache tier → what `testkit::room_sim` says.
//! Spec: docs/ix.md; case IX-01.

use testkit::room_sim::{self, Audience, Caches};

/// Who is there.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Viewers at the height.
    #[arg(long, default_value_t = 1_000_000)]
    pub viewers: u32,
    /// Taps a second of all of them.
    #[arg(long, default_value_t = 50_000)]
    pub taps: u32,
    /// Comments a second of all of them.
    #[arg(long, default_value_t = 2_000)]
    pub comments: u32,
    /// Seconds of the broadcast.
    #[arg(long, default_value_t = 120)]
    pub seconds: u32,
    /// For everything that chance decides.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What one tier adds at least and at most, in milliseconds, as measured through Varnish.
    #[arg(long, value_delimiter = ',', default_value = "5,16")]
    pub tier_ms: Vec<u64>,
}

/// Runs and prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let audience = Audience {
        viewers: args.viewers,
        tappers_per_million: 50_000,
        taps_per_second: args.taps,
        comments_per_second: args.comments,
        posts_budget: 5_000,
        seconds: args.seconds,
        seed: args.seed,
    };
    let tier = |index: usize| args.tier_ms.get(index).copied().unwrap_or(0);
    // Two tiers, and 10 to 60 ms of road to the viewer.
    let caches = Caches {
        delay_ms_min: 10 + 2 * tier(0),
        delay_ms_spread: 50 + 2 * tier(1).saturating_sub(tier(0)),
        ..Caches::default()
    };
    crate::print(&format!(
        "{} viewers, {} s in virtual time\n\n{}",
        args.viewers,
        args.seconds,
        room_sim::run(&audience, &caches)
    ));
    Ok(())
}
