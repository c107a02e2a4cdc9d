//! Byte ranges of complete and of growing segments.
//!
//! In → Out: `Range` headers → 206 with what exists, 416, or everything.
//! Spec: RFC 9110, "Range Requests" (14); RFC 8673, "Requesting a Live Plan"; case HTTP-14.

use crate::client::{End, Head, Http1};
use crate::stage::Stage;

const CURRENT: &str = "/live/show/source/1.0.m4s";

async fn range(viewer: &mut Http1, range: &str) -> Head {
    viewer
        .ask("GET", CURRENT, &format!("Range: {range}\r\n"))
        .await
}

#[tokio::test]
async fn a_complete_segment_is_cut_as_asked() {
    let mut stage = Stage::on_air().await;
    for text in ["abc", "defg", "hij"] {
        stage.chunk(1, 0, text);
    }
    stage.end(1, 0);
    let mut viewer = stage.connect().await;
    for (asked, told, bytes) in [
        ("bytes=0-", "bytes 0-9/10", "abcdefghij"),
        ("bytes=2-7", "bytes 2-7/10", "cdefgh"),
        ("bytes=4-4", "bytes 4-4/10", "e"),
        ("bytes=8-100", "bytes 8-9/10", "ij"),
        ("bytes=-3", "bytes 7-9/10", "hij"),
        ("bytes=3-9007199254740991", "bytes 3-9/10", "defghij"),
    ] {
        let head = range(&mut viewer, asked).await;
        assert_eq!(
            (head.status, head.header("content-range")),
            (206, Some(told)),
            "{asked}"
        );
        assert_eq!(viewer.text(&head).await, bytes);
    }
    let head = range(&mut viewer, "bytes=10-").await;
    assert_eq!(
        (head.status, head.header("content-range")),
        (416, Some("bytes */10"))
    );
    viewer.body(&head).await;
    for ignored in ["bytes=0-1,3-4", "lines=1-2", "bytes=5-2"] {
        let head = range(&mut viewer, ignored).await;
        assert_eq!(head.status, 200, "{ignored}");
        viewer.body(&head).await;
    }
    let head = viewer
        .ask("GET", CURRENT, "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n")
        .await;
    assert_eq!(head.status, 200, "no validator can match");
}

#[tokio::test]
async fn a_growing_segment_gives_what_exists_without_a_total() {
    let mut stage = Stage::on_air().await;
    stage.chunk(1, 0, "abc");
    stage.chunk(1, 0, "def");
    let mut viewer = stage.connect().await;
    for (asked, told, bytes) in [
        ("bytes=1-", "bytes 1-5/*", "bcdef"),
        ("bytes=1-3", "bytes 1-3/*", "bcd"),
        ("bytes=4-99", "bytes 4-5/*", "ef"),
    ] {
        let head = range(&mut viewer, asked).await;
        assert_eq!(
            (head.status, head.header("content-range")),
            (206, Some(told)),
            "{asked}"
        );
        assert_eq!(viewer.text(&head).await, bytes);
    }
    let head = range(&mut viewer, "bytes=6-").await;
    assert_eq!((head.status, head.header("content-range")), (416, None));
    assert_eq!(
        head.header("cache-control"),
        Some("no-store"),
        "the byte will exist"
    );
    viewer.body(&head).await;
}

#[tokio::test]
async fn a_range_without_end_follows_the_segment_from_any_byte() {
    let mut stage = Stage::on_air().await;
    stage.chunk(1, 0, "abc");
    stage.chunk(1, 0, "def");
    let (mut within, mut edge) = (stage.connect().await, stage.connect().await);
    let head = range(&mut within, "bytes=1-9007199254740991").await;
    assert_eq!(
        (head.status, head.header("content-range")),
        (206, Some("bytes 1-9007199254740991/*"))
    );
    let head = range(&mut edge, "bytes=6-9007199254740991").await;
    assert_eq!((head.status, head.is_chunked()), (206, true));
    stage.chunk(1, 0, "ghi");
    stage.end(1, 0);
    assert_eq!(within.chunked().await, (b"bcdefghi".to_vec(), End::Clean));
    assert_eq!(edge.chunked().await, (b"ghi".to_vec(), End::Clean));
    let mut beyond = stage.connect().await;
    assert_eq!(
        range(&mut beyond, "bytes=99-9007199254740991").await.status,
        416
    );
}

#[tokio::test]
async fn a_suffix_of_a_growing_segment_has_no_meaning_and_gets_all_of_it() {
    let mut stage = Stage::on_air().await;
    stage.chunk(1, 0, "abc");
    let mut viewer = stage.connect().await;
    assert_eq!(range(&mut viewer, "bytes=-2").await.status, 200);
    stage.end(1, 0);
    assert_eq!(viewer.chunked().await, (b"abc".to_vec(), End::Clean));
}

#[tokio::test]
async fn everything_from_byte_zero_is_all_of_a_growing_segment_also_before_it_begins() {
    let mut stage = Stage::on_air().await;
    stage.chunk(1, 0, "abc");
    let (mut current, mut next) = (stage.connect().await, stage.connect().await);
    assert_eq!(range(&mut current, "bytes=0-").await.status, 200);
    let asked = "/live/show/source/1.1.m4s";
    assert_eq!(
        next.ask("GET", asked, "Range: bytes=0-\r\n").await.status,
        200
    );
    stage.end(1, 0);
    assert_eq!(current.chunked().await, (b"abc".to_vec(), End::Clean));
}

#[tokio::test]
async fn http_14_a_viewer_whose_address_changes_goes_on_at_the_byte_it_has() {
    let mut stage = Stage::on_air().await;
    let (mut had, mut expect) = (String::new(), String::new());
    for round in 0..20 {
        let text = format!("chunk {round};");
        stage.chunk(1, 0, &text);
        expect.push_str(&text);
        // What comes back from the old address is lost: the connection just stops, without a word to the server.
        let mut viewer = stage.connect().await;
        let head = range(
            &mut viewer,
            &format!("bytes={}-9007199254740991", had.len()),
        )
        .await;
        assert!(matches!(head.status, 200 | 206), "{}", head.status);
        while had.len() < expect.len() {
            had.push_str(&viewer.chunk().await.unwrap().expect("it goes on"));
        }
        std::mem::forget(viewer);
    }
    assert_eq!(had, expect);
    let mut last = stage.connect().await;
    range(&mut last, &format!("bytes={}-9007199254740991", had.len())).await;
    stage.chunk(1, 0, "the end");
    stage.end(1, 0);
    assert_eq!(last.chunked().await, (b"the end".to_vec(), End::Clean));
}
