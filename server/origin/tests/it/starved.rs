//! Encoders that are not given the memory that they need.
//!
//! In → Out: real pictures, and encoders whose every allocation fails → a broadcast that goes on without rungs.
//! Spec: case PKG-08; issue "Every viewer's own quality", "It fails well".

use std::time::Duration;

use hls::ladder::{Ladder, LadderLine};
use media::{AccessUnit, Event, RenditionName, Timestamp};
use origin::RenditionState;
use transcode::Mode;

use crate::source::Source;
use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(20);

fn state(stage: &Stage, name: RenditionName) -> Option<RenditionState> {
    let status = stage.status("show")?;
    let mut renditions = status.renditions.iter();
    renditions
        .find(|rendition| rendition.name == name)
        .map(|rendition| rendition.state)
}

#[tokio::test]
async fn pkg_08_an_encoder_without_memory_takes_only_its_rung_along() {
    let stage = Stage::new();
    stage.settings.send_modify(|settings| {
        let transcode = &mut settings.pipeline.transcode;
        transcode.mode = Mode::Always;
        transcode.memory_max = 16 << 20;
        transcode.ladder = Ladder(vec![LadderLine {
            name: RenditionName::P240,
            bitrate_bps: 300_000,
        }]);
    });
    let source = Source::make("640x360", 0).await;
    let admission = stage.try_admit("show").await.unwrap();
    let began = stage.wall();
    let mut events = source.forever();
    let lost = async {
        // Until the rung is given up, and for three segments more.
        let mut goal = None;
        loop {
            let event = match events.next().expect("a minute of it") {
                Event::Unit(unit) => Event::Unit(AccessUnit {
                    wall: began + unit.pts.since(Timestamp::ZERO),
                    ..unit
                }),
                other => other,
            };
            admission.events.send(event).await.unwrap();
            tokio::time::sleep(STEP / 4).await;
            let reached =
                stage.status("show").map(|status| status.state) == Some(origin::State::Live);
            let msn = reached.then(|| {
                let snapshot = stage.snapshot("show", RenditionName::Source);
                snapshot
                    .segments
                    .last()
                    .map_or(0, |segment| segment.id.msn.0)
            });
            match (goal, msn) {
                (None, Some(msn))
                    if state(&stage, RenditionName::P240)
                        == Some(RenditionState::Lost("exited")) =>
                {
                    goal = Some(msn + 3);
                }
                (Some(goal), Some(msn)) if msn >= goal => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, lost)
        .await
        .expect("it is given up");
    assert_eq!(
        state(&stage, RenditionName::Source),
        Some(RenditionState::Running)
    );
    let live = stage.live("show");
    assert!(live.rendition(RenditionName::P240).is_none());
    stage.stop().await;
}
