//! Publishers that no one would want.
//!
//! In → Out: bad bytes, bad media, bad manners → refusals, limits, and other sessions that never notice.
//! Spec: the case catalogue (ING-…).

use rtmp::PublisherEvent;

use crate::stage::Stage;

#[tokio::test]
async fn a_publisher_machine_is_let_in() {
    let mut stage = Stage::open().await;
    let (_peer, event) = stage.publish("show?token=1").await;
    assert_eq!(event, PublisherEvent::Ready);
    let admitted = stage.admitted().await;
    assert_eq!(admitted.request.query.as_deref(), Some("token=1"));
    assert_eq!(admitted.request.name, "show");
}
