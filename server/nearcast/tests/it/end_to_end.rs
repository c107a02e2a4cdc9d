//! From a publisher's socket to a viewer's, through the real binary.
//!
//! In → Out: RTMP → playlists, segments, API, metrics; signals → clean ends.
//! Spec: design "Paths", "Segments", "Playlists"; cases ING-17, ING-18, ING-19, ING-34.

use rtmp::PublisherEvent;
use rustix::process::Signal;

use crate::process::{Answer, Server};
use crate::publisher::publish;

const MEDIA: &str = "/live/x/source/index.m3u8";

/// The names in a playlist's prefetch tags: the current segment, and the next.
fn prefetch(playlist: &Answer) -> Vec<String> {
    playlist
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-PREFETCH:"))
        .map(|name| format!("/live/x/source/{name}"))
        .collect()
}

fn is_listed(answer: &Answer) -> bool {
    answer.status == 200 && answer.text().contains("#EXTINF")
}

#[tokio::test]
async fn what_is_published_over_rtmp_is_watched_over_http() {
    let server = Server::start(&["--dev"]).await;
    let publisher = publish(server.rtmp, "x");
    let playlist = server.get_until(MEDIA, is_listed).await;
    let multivariant = server.get("/live/x/index.m3u8").await.text();
    assert!(
        multivariant.contains("source/index.m3u8") && multivariant.contains("audio/index.m3u8"),
        "{multivariant}"
    );
    for rendition in ["source", "audio"] {
        assert!(
            is_listed(&server.get(&format!("/live/x/{rendition}/index.m3u8")).await),
            "{rendition}"
        );
    }
    let init = server.get("/live/x/source/1.init.mp4").await;
    assert_eq!((init.status, &init.body[4..8]), (200, &b"ftyp"[..]));

    // The segment that is being made ends by itself, cleanly.
    let current = server.get(&prefetch(&playlist)[0]).await;
    assert_eq!(current.status, 200);
    assert!(current.ended_cleanly());

    let shown = server.get("/api/v1/broadcasts/x").await.json();
    assert_eq!(shown["state"], "live");
    assert_eq!(
        (
            shown["renditions"][0]["width"].as_u64(),
            shown["renditions"][0]["height"].as_u64()
        ),
        (Some(320), Some(176))
    );
    let metrics = server.get("/metrics").await.text();
    for line in [
        "nearcast_broadcasts 1",
        "nearcast_publish_requests_total{result=\"admitted\"} 1",
        "# HELP nearcast_broadcasts ",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    publisher.abort();
}

#[tokio::test]
async fn at_a_signal_everybody_gets_a_clean_end() {
    let server = Server::start(&["--dev"]).await;
    let publisher = publish(server.rtmp, "x");
    let playlist = server.get_until(MEDIA, is_listed).await;
    let names = prefetch(&playlist);
    let watching = async {
        // The last of the names may never begin; the one before it is open.
        tokio::join!(server.get(&names[0]), async {
            server.signal(Signal::TERM);
            server
                .get_until(MEDIA, |answer| answer.text().contains("#EXT-X-ENDLIST"))
                .await
        })
    };
    let (segment, ended) = watching.await;
    assert!(segment.ended_cleanly(), "the open segment was closed");
    assert!(!ended.text().contains("#EXT-X-PREFETCH"));
    let told = publisher.await.unwrap();
    assert!(
        matches!(told, Some(PublisherEvent::Refused { .. })),
        "the publisher was told, not cut: {told:?}"
    );
    assert!(server.wait().await.success());
}

#[tokio::test]
async fn ing_18_a_publisher_that_returns_continues_under_the_same_url() {
    let server = Server::start(&["--dev"]).await;
    let first = publish(server.rtmp, "x");
    server.get_until(MEDIA, is_listed).await;
    first.abort();
    server
        .get_until("/api/v1/broadcasts/x", |answer| {
            answer.json()["state"] == "reconnecting"
        })
        .await;
    let away = server.get(MEDIA).await.text();
    assert!(!away.contains("#EXT-X-ENDLIST"));

    let second = publish(server.rtmp, "x");
    let playlist = server
        .get_until(MEDIA, |answer| {
            answer.text().contains("#EXT-X-DISCONTINUITY\n")
        })
        .await
        .text();
    assert!(
        playlist.contains("1.init.mp4") && playlist.contains("2.init.mp4"),
        "{playlist}"
    );
    let names: Vec<_> = playlist
        .lines()
        .filter(|line| line.contains(".m4s") && !line.starts_with('#'))
        .collect();
    let numbers: Vec<u64> = names
        .iter()
        .map(|name| name.split('.').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{names:?}"
    );
    second.abort();
}

#[tokio::test]
async fn ing_19_the_older_publisher_reads_in_its_log_that_it_was_replaced() {
    let server = Server::start(&["--dev"]).await;
    let old = publish(server.rtmp, "x");
    server.get_until(MEDIA, is_listed).await;
    let new = publish(server.rtmp, "x");
    let told = old.await.unwrap();
    assert!(
        matches!(&told, Some(PublisherEvent::Refused { description, .. }) if !description.is_empty()),
        "{told:?}"
    );
    server
        .get_until(MEDIA, |answer| {
            answer.text().contains("#EXT-X-DISCONTINUITY\n")
        })
        .await;
    assert!(!new.is_finished());
    new.abort();
}

#[tokio::test]
async fn ing_34_reading_the_configuration_again_drops_nobody() {
    let server = Server::start(&["--dev"]).await;
    let publisher = publish(server.rtmp, "x");
    let playlist = server.get_until(MEDIA, is_listed).await;
    let file = server.data.path().join("nearcast.toml");
    for text in [
        "[broadcast]\nreconnect_window = \"1s\"\n",
        "[broadcast]\nreconnect_windw = \"1s\"\n",
        "[broadcast]\nreconnect_window = \"1s\"\n",
    ] {
        std::fs::write(&file, text).unwrap();
        server.signal(Signal::HUP);
        let segment = server.get(&prefetch(&playlist)[1]).await;
        assert!(
            segment.status == 200 && segment.ended_cleanly(),
            "a viewer noticed"
        );
        assert!(!publisher.is_finished(), "a publisher noticed");
    }
    // The new window counts.
    publisher.abort();
    server
        .get_until("/api/v1/broadcasts/x", |answer| {
            answer.json()["state"] == "ended"
        })
        .await;
}

#[tokio::test]
async fn a_broadcast_is_created_published_listed_and_ended_from_the_command_line() {
    let server = Server::start(&[]).await;
    let created = server
        .broadcast(&["create", "--title", "Friday show", "--id", "x"])
        .await;
    assert!(created.status.success(), "{created:?}");
    let printed = String::from_utf8(created.stdout).unwrap();
    let value = |label: &str| {
        printed
            .lines()
            .find_map(|line| line.strip_prefix(label))
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(value("id "), "x");
    assert_eq!(value("watch "), format!("http://{}/b/x", server.http));
    let key = value("stream key ");
    assert!(value("publish ").ends_with(&format!("/live/{key}")));

    let refused = publish(server.rtmp, "x").await.unwrap();
    assert!(
        matches!(&refused, Some(PublisherEvent::Refused { description, .. }) if description.contains("nearcast broadcast create")),
        "{refused:?}"
    );
    let publisher = publish(server.rtmp, &key);
    server.get_until(MEDIA, is_listed).await;
    let listed = String::from_utf8(server.broadcast(&["list"]).await.stdout).unwrap();
    assert!(
        listed.contains("Friday show") && listed.contains("live"),
        "{listed}"
    );

    let ended = server.broadcast(&["end", "x"]).await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(matches!(
        publisher.await.unwrap(),
        Some(PublisherEvent::Refused { .. })
    ));
    assert!(server.get(MEDIA).await.text().contains("#EXT-X-ENDLIST"));
    let again = server.broadcast(&["end", "x"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("no such broadcast")
    );
}

#[tokio::test]
async fn pages_are_served_with_their_policy_and_unknown_paths_have_a_page_of_their_own() {
    let server = Server::start(&["--dev"]).await;
    for (path, framing) in [
        ("/", "frame-ancestors 'none'"),
        ("/b/x", "frame-ancestors 'none'"),
        ("/b/x/embed", "frame-ancestors *"),
    ] {
        let page = server.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.head.contains("content-type: text/html")
                && page.head.contains("script-src 'self'")
                && page.head.contains(framing),
            "{}",
            page.head
        );
    }
    for path in [
        "/nothing",
        "/b/",
        "/b/a%20b",
        "/b/x/y",
        "/assets/nothing.js",
    ] {
        let page = server.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.head.contains("text/html"), "{path}: {}", page.head);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
}
