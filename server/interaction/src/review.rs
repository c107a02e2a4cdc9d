//! The operator's review hook: asked about each comment, with a limit, and never waited for by the room.
//!
//! In → Out: a comment → `POST` of JSON to the hook → yes, no, or nothing in time, which the room's fallback decides.
//! Requests at once are bounded; beyond the bound nobody is asked and the fallback counts.
//! Spec: docs/ix.md, "Review"; case IX-18.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use media::BroadcastId;
use room::Comment;
use tokio::sync::Semaphore;

/// Asks the hook. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reviewer {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    places: Arc<Semaphore>,
    limit: Duration,
}

/// Questions at once, of all rooms.
const ASKED_MAX: usize = 256;
/// The longest answer that is read.
const ANSWER_MAX: usize = 4 * 1024;

impl Reviewer {
    pub(crate) fn new(url: Uri, limit: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limit));
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url,
            places: Arc::new(Semaphore::new(ASKED_MAX)),
            limit,
        }
    }

    /// What the hook says; `None` if it says nothing that can be understood in time.
    pub(crate) async fn ask(&self, room: &BroadcastId, comment: &Comment) -> Option<bool> {
        let place = self.places.try_acquire();
        let answer = match place {
            Ok(_) => tokio::time::timeout(self.limit, self.request(room, comment))
                .await
                .ok()
                .flatten(),
            Err(_) => None,
        };
        let result = match answer {
            Some(true) => "allowed",
            Some(false) => "denied",
            None => "unanswered",
        };
        metrics::counter!("nearcast_room_reviews_total", "result" => result).increment(1);
        answer
    }

    async fn request(&self, room: &BroadcastId, comment: &Comment) -> Option<bool> {
        let body = serde_json::json!({
            "v": 1,
            "broadcast": room.as_str(),
            "id": comment.id.to_string(),
            "viewer": comment.author.to_string(),
            "name": comment.name.as_str(),
            "text": comment.text.as_str(),
        });
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .ok()?;
        let response = self.client.request(request).await.ok()?;
        if response.status() != 200 {
            return None;
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX);
        let body = body.collect().await.ok()?.to_bytes();
        let answer: serde_json::Value = serde_json::from_slice(&body).ok()?;
        answer.get("allow")?.as_bool()
    }
}
