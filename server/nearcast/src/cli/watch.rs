//! `nearcast watch`: a viewer without a screen.
//!
//! In → Out: a watch page's or a playlist's URL → join time, chunk lateness, stalls, bytes and conformance errors.
//! Spec: design "Playlists", "Segments".

/// Watch a broadcast without a screen and report what a viewer gets.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The watch page (http://HOST/b/ID), or the playlist (http://HOST/live/ID/index.m3u8).
    pub(crate) url: String,
}

/// Watches until the time limit, the end of the broadcast or Ctrl-C.
#[expect(
    clippy::unused_async,
    reason = "awaits the viewer core, which lands next"
)]
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::bail!("{} cannot be watched yet", args.url)
}
