//! Rooms behind real sockets, in plain sentences.
//!
//! In → Out: what viewers and broadcasters do → what everybody reads, and what is stored.
//! Spec: docs/ix.md.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::rig::{END, KEY, Rig, data};

const ID: &str = "0123456789abcdef";

#[tokio::test]
async fn a_tap_is_on_every_readers_socket_and_counted_once() {
    let rig = Rig::start(&data("tap")).await;
    let ann = rig.viewer("Ann").await;
    let mut reader = rig.follow(0).await;
    reader.until("\"k\":\"s\"").await;
    let body = format!(r#"{{"v":1,"id":"{ID}","taps":{{"n":3}}}}"#);
    let (status, answer) = rig.post("ix", &ann.token, &body).await;
    assert_eq!(
        (status, answer.as_str()),
        (200, r#"{"v":1,"hearts":3,"repeated":false}"#)
    );
    let (_, again) = rig.post("ix", &ann.token, &body).await;
    assert_eq!(again, r#"{"v":1,"hearts":3,"repeated":true}"#);
    let text = reader.until("\"k\":\"b\"").await;
    let beat = reader.until("]").await;
    assert!(!text.contains("\"total\":3"), "{text}");
    let beat = beat.rsplit("\"hearts\":").next().unwrap().to_owned();
    assert!(beat.contains('3'), "{beat}");
    rig.stop().await;
}

#[tokio::test]
async fn an_acknowledged_comment_is_in_exactly_one_beat_however_often_it_is_sent() {
    let mut rig = Rig::start(&data("comment")).await;
    let ann = rig.viewer("Ann").await;
    for request in 1..=3 {
        let body = format!(
            r#"{{"v":1,"id":"000000000000000{request}","comments":[{{"id":"{ID}","t":"<b>hello</b>"}}]}}"#
        );
        let (status, answer) = rig.post("ix", &ann.token, &body).await;
        assert_eq!(status, 200);
        assert!(answer.contains("\"seq\":1"), "{answer}");
    }
    rig.begin(1);
    let first = rig.follow(0).await.until("beat_ms").await;
    let mut reader = rig.follow(0).await;
    let _ = first;
    let whole = reader.until("<b>hello</b>").await;
    assert_eq!(whole.matches("<b>hello</b>").count(), 1);
    // A late joiner needs the newest segment and nothing else.
    let late = rig.follow(1).await.until("jitter_ms").await;
    assert!(
        late.contains("<b>hello</b>") && late.contains("\"said\":1"),
        "{late}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn segments_can_be_asked_for_early_and_end_with_the_medias() {
    let mut rig = Rig::start(&data("segments")).await;
    let mut current = rig.follow(0).await;
    let mut next = rig.follow(1).await;
    next.until("200 OK").await;
    assert_eq!(rig.get("/live/show/ix/1.9.jsonl").await.0, 404);
    rig.begin(1);
    current.until("\"k\":\"s\"").await;
    current.until(END.trim_start_matches("\r\n")).await;
    next.until("\"k\":\"s\"").await;
    rig.stop().await;
}

#[tokio::test]
async fn only_a_token_of_this_room_opens_the_way_up() {
    let rig = Rig::start(&data("token")).await;
    let body = format!(r#"{{"v":1,"id":"{ID}","taps":{{"n":3}}}}"#);
    for token in ["", "v1.0000000000000001.ffffffff.41.00", "nonsense"] {
        let (status, answer) = rig.post("ix", token, &body).await;
        assert_eq!(status, 401, "{answer}");
    }
    let ann = rig.viewer("Ann").await;
    let (status, answer) = rig.post("ix", &ann.token, "{}").await;
    assert!(status == 400 && answer.contains("docs/ix.md"), "{answer}");
    let (status, _) = rig.post("ix", &ann.token, &" ".repeat(20_000)).await;
    assert!(status == 413 || status == 400, "{status}");
    rig.stop().await;
}

#[tokio::test]
async fn ix_16_a_deleted_comment_leaves_screens_and_disk_and_stays_in_the_audit_log() {
    let rig = Rig::start(&data("delete")).await;
    let ann = rig.viewer("Ann").await;
    let body = format!(
        r#"{{"v":1,"id":"0000000000000001","comments":[{{"id":"{ID}","t":"delete me now"}}]}}"#
    );
    rig.post("ix", &ann.token, &body).await;
    let file = rig.data.join("ix/show/1.0.jsonl");
    rig.until(async |_| {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("delete me now"))
    })
    .await;
    let mut reader = rig.follow(0).await;
    let mut socket = staff(&rig).await;
    socket
        .send(Message::text(format!(r#"{{"do":"delete","id":"{ID}"}}"#)))
        .await
        .unwrap();
    reader.until(&format!(r#""gone":["{ID}"]"#)).await;
    rig.until(async |_| {
        std::fs::read_to_string(&file).is_ok_and(|text| !text.contains("delete me now"))
    })
    .await;
    let audit = rig.data.join("ix/show/audit.log");
    rig.until(async |_| {
        std::fs::read_to_string(&audit).is_ok_and(|text| text.contains("delete me now"))
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn ix_10_a_server_that_starts_again_goes_on_with_its_totals() {
    let folder = data("restart");
    let rig = Rig::start(&folder).await;
    let ann = rig.viewer("Ann").await;
    rig.post(
        "ix",
        &ann.token,
        &format!(r#"{{"v":1,"id":"{ID}","taps":{{"n":7}}}}"#),
    )
    .await;
    rig.follow(0).await.until("\"hearts\":[0,").await;
    let body = format!(
        r#"{{"v":1,"id":"0000000000000002","comments":[{{"id":"{ID}","t":"still here"}}]}}"#
    );
    rig.post("ix", &ann.token, &body).await;
    rig.stop().await;
    let rig = Rig::start(&folder).await;
    let text = rig.follow(0).await.until("jitter_ms").await;
    assert!(
        text.contains("\"total\":7") && text.contains("\"epoch\":2") && text.contains("still here"),
        "{text}"
    );
    // The token is good as before, and the comment is not shown a second time.
    let (_, answer) = rig
        .post("ix", &ann.token, &body.replace("0002", "0003"))
        .await;
    assert!(answer.contains("\"seq\":"), "{answer}");
    let text = rig.follow(0).await.until("jitter_ms").await;
    assert_eq!(text.matches("still here").count(), 1, "{text}");
    rig.stop().await;
}

#[tokio::test]
async fn ix_21_a_socket_needs_the_servers_own_origin_and_a_fresh_ticket() {
    let rig = Rig::start(&data("origin")).await;
    let ticket = ticket(&rig).await;
    for origin in [None, Some("null"), Some("http://evil.example")] {
        assert!(connect(&rig, &ticket, origin).await.is_err(), "{origin:?}");
    }
    let own = format!("http://{}", rig.address);
    assert!(connect(&rig, &ticket, Some(&own)).await.is_ok());
    assert!(
        connect(&rig, &ticket, Some(&own)).await.is_err(),
        "a ticket is good once"
    );
    assert!(connect(&rig, "", Some(&own)).await.is_err());
    let ann = rig.viewer("Ann").await;
    assert_eq!(
        rig.post("ticket", &ann.token, "").await.0,
        401,
        "a viewer is no moderator"
    );
    assert_eq!(rig.post("ticket", "wrong key", "").await.0, 401);
    rig.stop().await;
}

#[tokio::test]
async fn the_broadcaster_sees_a_tap_and_a_report_and_names_a_moderator() {
    let rig = Rig::start(&data("staff")).await;
    let ann = rig.viewer("Ann").await;
    let mut socket = staff(&rig).await;
    next(&mut socket, "\"k\":\"s\"").await;
    rig.post(
        "ix",
        &ann.token,
        &format!(r#"{{"v":1,"id":"{ID}","taps":{{"n":2}}}}"#),
    )
    .await;
    next(&mut socket, "\"hearts\":").await;
    let name = format!(r#"{{"do":"appoint","viewer":"{}"}}"#, ann.id);
    socket.send(Message::text(name)).await.unwrap();
    next(&mut socket, "\"do\":\"appoint\"").await;
    assert_eq!(rig.post("ticket", &ann.token, "").await.0, 200);
    socket
        .send(Message::text("{\"do\":\"explode\"}"))
        .await
        .unwrap();
    next(&mut socket, "no such command").await;
    rig.stop().await;
}

#[tokio::test]
async fn ix_05_oversized_binary_and_too_many_messages_close_the_socket() {
    let rig = Rig::start(&data("frames")).await;
    for messages in [
        vec![Message::text("x".repeat(100_000))],
        vec![Message::binary(vec![0; 10])],
        vec![Message::Ping(vec![1].into()); 200],
    ] {
        let mut socket = staff(&rig).await;
        for message in messages {
            if socket.send(message).await.is_err() {
                break;
            }
        }
        let closed = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(40), closed)
            .await
            .expect("the server closes it");
    }
    rig.stop().await;
}

pub(crate) type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub(crate) async fn ticket(rig: &Rig) -> String {
    let (status, body) = rig.post("ticket", KEY, "").await;
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["ticket"].as_str().unwrap().to_owned()
}

async fn connect(
    rig: &Rig,
    ticket: &str,
    origin: Option<&str>,
) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    let url = format!(
        "ws://{}/api/v1/broadcasts/show/ws?ticket={ticket}",
        rig.address
    );
    let mut request = url.into_client_request().unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    tokio_tungstenite::connect_async(request)
        .await
        .map(|(socket, _)| socket)
}

pub(crate) async fn staff(rig: &Rig) -> Socket {
    let ticket = ticket(rig).await;
    connect(rig, &ticket, Some(&format!("http://{}", rig.address)))
        .await
        .unwrap()
}

/// Waits for a message that contains a text.
pub(crate) async fn next(socket: &mut Socket, text: &str) -> String {
    let reading = async {
        loop {
            let message = socket
                .next()
                .await
                .expect("the socket is open")
                .unwrap()
                .into_text()
                .unwrap()
                .to_string();
            if message.contains(text) {
                return message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(40), reading)
        .await
        .unwrap_or_else(|_| panic!("{text} never came"))
}
