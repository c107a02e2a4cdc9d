//! What outlives the process.
//!
//! In → Out: a restart or a crash between two requests → the same decisions, and numbers that only grow.
//! Spec: case CTL-04; design "Segments" (one URL, one body, for ever).

use std::os::unix::fs::PermissionsExt as _;

use control::Policy;
use ingest::RefusalCode;
use origin::Start;

use crate::house::House;

fn position(house: &House, name: &str) -> Start {
    let notes = house.registry.notes();
    notes
        .iter()
        .find(|note| note.id.as_str() == name)
        .unwrap()
        .position
}

#[tokio::test]
async fn ctl_04_the_same_decisions_after_a_restart() {
    let house = House::new(Policy::Keys).await;
    let (_, open) = house.create(r#"{"id":"open","title":"Open"}"#).await;
    let (_, ended) = house.create(r#"{"id":"ended"}"#).await;
    house.admin("DELETE", "/api/v1/broadcasts/ended", "").await;
    let token = control::read_token(house.data())
        .unwrap()
        .reveal()
        .to_owned();

    let house = house.restart().await;
    assert_eq!(
        house
            .knock("192.0.2.7", &open)
            .await
            .unwrap()
            .broadcast
            .as_str(),
        "open"
    );
    assert_eq!(house.registry.statuses()[0].title.as_ref(), "Open");
    assert_eq!(
        house.knock("192.0.2.7", &ended).await.unwrap_err().code,
        RefusalCode::NotFound
    );
    assert_eq!(
        house.knock("192.0.2.7", "no-key").await.unwrap_err().code,
        RefusalCode::Unauthorized
    );
    assert_eq!(control::read_token(house.data()).unwrap().reveal(), token);
    assert_eq!(
        house
            .admin("POST", "/api/v1/broadcasts", r#"{"id":"ended"}"#)
            .await
            .code(),
        "conflict",
        "an ended id is not given again"
    );
}

#[tokio::test]
async fn the_admin_token_is_for_its_owner_only_and_deleting_its_file_replaces_it() {
    let house = House::new(Policy::Keys).await;
    let file = house.data().join("admin-token");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let old = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let house = house.restart().await;
    let new = std::fs::read_to_string(house.data().join("admin-token")).unwrap();
    assert_ne!(old, new);
    let with_old = format!("Authorization: Bearer {}\r\n", old.trim());
    assert_eq!(
        house
            .call("DELETE", "/api/v1/broadcasts/x", &with_old, "")
            .await
            .status,
        401
    );
    assert_eq!(
        house
            .admin("DELETE", "/api/v1/broadcasts/x", "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn numbers_go_on_where_they_stopped_after_a_restart() {
    let house = House::new(Policy::Dev).await;
    drop(house.knock("127.0.0.1", "x").await.unwrap());
    let before = position(&house, "x");
    let house = house.restart().await;
    drop(house.knock("127.0.0.1", "x").await.unwrap());
    let after = position(&house, "x");
    assert!(
        after.epoch > before.epoch && after.msn >= before.msn,
        "{before:?} {after:?}"
    );
}

#[tokio::test]
async fn numbers_skip_ahead_after_a_crash() {
    let house = House::new(Policy::Dev).await;
    drop(house.knock("127.0.0.1", "x").await.unwrap());
    let before = position(&house, "x");
    let house = house.crash().await;
    drop(house.knock("127.0.0.1", "x").await.unwrap());
    let after = position(&house, "x");
    assert!(
        after.epoch.0 >= before.epoch.0 + 64 && after.msn > before.msn,
        "{before:?} {after:?}"
    );
}
