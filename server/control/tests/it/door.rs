//! Who gets in, and what those who do not are told.
//!
//! In → Out: publish requests → admissions and refusals.
//! Spec: cases ING-19, ING-21.

use control::Policy;
use ingest::RefusalCode;
use media::{EndReason, Feedback};

use crate::house::House;

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.7";

#[tokio::test]
async fn with_dev_any_name_from_this_machine_is_a_broadcast() {
    let house = House::new(Policy::Dev).await;
    for peer in [HERE, "[::1]", "[::ffff:127.0.0.1]"] {
        assert_eq!(
            house
                .knock(peer, "my-show")
                .await
                .unwrap()
                .broadcast
                .as_str(),
            "my-show"
        );
    }
    let refusal = house.knock(HERE, "my/show").await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadName);
}

#[tokio::test]
async fn with_dev_a_bare_name_from_elsewhere_is_refused_and_told_why() {
    let house = House::new(Policy::Dev).await;
    let refusal = house.knock(ELSEWHERE, "my-show").await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Unauthorized);
    assert!(
        refusal.message.contains("nearcast broadcast create") && refusal.message.contains("--dev"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn a_stream_key_opens_its_broadcast_as_name_or_as_parameter() {
    let house = House::new(Policy::Keys).await;
    let (id, key) = house
        .create(r#"{"id":"friday","title":"Friday show"}"#)
        .await;
    for name in [
        key.clone(),
        format!("?key={key}"),
        format!("{id}?key={key}"),
        format!("{id}?a=b&key={key}"),
    ] {
        assert_eq!(
            house
                .knock(ELSEWHERE, &name)
                .await
                .unwrap()
                .broadcast
                .as_str(),
            "friday",
            "{name}"
        );
    }
    assert_eq!(house.registry.statuses()[0].title.as_ref(), "Friday show");
}

#[tokio::test]
async fn a_key_under_another_broadcasts_name_is_refused() {
    let house = House::new(Policy::Keys).await;
    let (_, key) = house.create(r#"{"id":"friday"}"#).await;
    let refusal = house
        .knock(ELSEWHERE, &format!("monday?key={key}"))
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadName);
}

/// A key that differs in its last letter only.
fn almost(key: &str) -> String {
    let (head, last) = key.split_at(key.len() - 1);
    format!("{head}{}", if last == "a" { "b" } else { "a" })
}

#[tokio::test]
async fn without_dev_nothing_but_a_right_key_opens() {
    let house = House::new(Policy::Keys).await;
    let (id, key) = house.create("{}").await;
    let almost = almost(&key);
    for name in [
        "",
        "x",
        &id,
        &key[1..],
        &almost,
        "?key=",
        "../../etc",
        "' OR 1=1 --",
    ] {
        let refusal = house.knock(HERE, name).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Unauthorized, "{name:?}");
        assert!(
            !refusal.message.contains(&key[..20]),
            "a refusal holds no secret"
        );
    }
}

#[tokio::test]
async fn another_application_than_live_is_refused() {
    let house = House::new(Policy::Dev).await;
    let mut admission = house.knock(HERE, "x").await.unwrap();
    assert!(admission.feedback.try_recv().is_err());
    let request = ingest::PublishRequest {
        protocol: ingest::Protocol::Rtmp,
        peer: "127.0.0.1:1".parse().unwrap(),
        app: "app".to_owned(),
        name: "x".to_owned(),
        query: None,
        session: ingest::SessionId::next(),
    };
    let refusal = ingest::Gate::admit(&house.control, request)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, RefusalCode::BadName);
    assert!(refusal.message.contains("/live"));
}

#[tokio::test]
async fn ing_19_the_right_key_takes_over_and_an_intruder_without_it_does_not() {
    let house = House::new(Policy::Keys).await;
    let (_, key) = house.create("{}").await;
    let mut first = house.knock(ELSEWHERE, &key).await.unwrap();
    let intruder = house
        .knock("198.51.100.9", &almost(&key))
        .await
        .unwrap_err();
    assert_eq!(intruder.code, RefusalCode::Unauthorized);
    assert!(
        first.feedback.try_recv().is_err(),
        "the owner notices nothing"
    );
    let _second = house.knock("198.51.100.9", &key).await.unwrap();
    assert_eq!(
        first.feedback.recv().await,
        Some(Feedback::Stop(EndReason::Replaced))
    );
}

#[tokio::test]
async fn ing_21_a_flood_of_wrong_keys_is_limited_and_the_owner_behind_the_same_address_is_not() {
    let house = House::new(Policy::Keys).await;
    let (_, key) = house.create("{}").await;
    let mut codes = Vec::new();
    for n in 0..200 {
        let wrong = control_key(n);
        codes.push(house.knock(ELSEWHERE, &wrong).await.unwrap_err().code);
    }
    assert_eq!(codes[0], RefusalCode::Unauthorized);
    assert!(codes[20..].iter().all(|code| *code == RefusalCode::Limit));
    assert!(house.knock(ELSEWHERE, &key).await.is_ok());
    assert_eq!(
        house.knock("198.51.100.9", "wrong").await.unwrap_err().code,
        RefusalCode::Unauthorized,
        "other networks are not limited"
    );
}

/// Text in the shape of a key that nobody was given.
fn control_key(n: u32) -> String {
    let digits = n
        .to_string()
        .replace('0', "a")
        .replace('1', "b")
        .replace('8', "c")
        .replace('9', "d");
    format!("{:a<8}-{:a<26}", digits, "")
}

#[tokio::test]
async fn a_broadcast_that_the_operator_ended_takes_its_key_no_more() {
    let house = House::new(Policy::Keys).await;
    let (id, key) = house.create("{}").await;
    let mut admission = house.knock(ELSEWHERE, &key).await.unwrap();
    assert_eq!(
        house
            .admin("DELETE", &format!("/api/v1/broadcasts/{id}"), "")
            .await
            .status,
        204
    );
    assert_eq!(
        admission.feedback.recv().await,
        Some(Feedback::Stop(EndReason::Stopped))
    );
    let refusal = house.knock(ELSEWHERE, &key).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::NotFound);
    assert!(refusal.message.contains("nearcast broadcast create"));
}

#[tokio::test]
async fn ing_34_a_changed_policy_counts_for_the_next_publisher_and_drops_nobody() {
    let house = House::new(Policy::Dev).await;
    let mut admission = house.knock(HERE, "x").await.unwrap();
    house.policy.send_replace(Policy::Keys);
    assert_eq!(
        house.knock(HERE, "y").await.unwrap_err().code,
        RefusalCode::Unauthorized
    );
    assert!(admission.feedback.try_recv().is_err());
    assert!(!admission.events.is_closed());
}
