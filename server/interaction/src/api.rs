//! The way up, and the ticket for the socket.
//!
//! In → Out: `POST …/viewers`, `POST …/ix`, `POST …/ticket` → tokens, receipts and verdicts, tickets; refusals with a reason.
//! Spec: docs/ix.md, "The way up", "Refusals", "The socket".

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use room::wire::{self, Answer};
use room::{
    Action, Actor, CommentId, Draft, Input, Name, Post, Receipt, Refusal, Source, ViewerId, Written,
};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::collector::prefix_of;
use crate::identity::Claims;
use crate::room_task::{Message, now};
use crate::rooms::{Handle, Rooms, token_end};
use crate::socket;
use crate::token::Bearer;

/// The routes of all rooms.
pub fn router(rooms: Rooms) -> Router {
    Router::new()
        .route("/api/v1/broadcasts/{id}/viewers", post(viewers))
        .route("/api/v1/broadcasts/{id}/ix", post(ix))
        .route("/api/v1/broadcasts/{id}/ticket", post(ticket))
        .route("/api/v1/broadcasts/{id}/ws", get(socket::open))
        .layer(DefaultBodyLimit::max(wire::BODY_MAX + 1))
        .with_state(rooms)
}

/// How long an author waits for the verdict; the room decides within a second and a beat.
const VERDICT_WAIT: Duration = Duration::from_secs(5);

#[derive(Default, Deserialize)]
struct NewViewer {
    name: Option<String>,
}

/// A name becomes a viewer.
async fn viewers(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(room) = rooms.room(&id) else {
        return no_room();
    };
    let inner = rooms.inner();
    if !inner.tickets.may_mint(peer.ip()) {
        return refused(Refusal::RatePrefix);
    }
    let claims = match claims(&rooms, &room, &headers) {
        Ok(claims) => claims,
        Err(response) => return *response,
    };
    let asked = serde_json::from_slice::<NewViewer>(&body).unwrap_or_default();
    let told = claims.as_ref().and_then(|claims| claims.name.clone());
    let Some(wanted) = told.or(asked.name) else {
        let message = "send {\"name\":\"…\"}";
        return error(StatusCode::BAD_REQUEST, "bad_request", message);
    };
    let name = match Name::parse(&wanted) {
        Ok(name) if !inner.config.policy.words.matches(name.as_str()) => name,
        Ok(_) => return refused(Refusal::Words),
        Err(why) => {
            return error(
                StatusCode::BAD_REQUEST,
                "bad_request",
                &format!("this name cannot be taken: {why}"),
            );
        }
    };
    let bearer = Bearer {
        viewer: claims.as_ref().map_or_else(
            || ViewerId(rand::random()),
            |claims| inner.key.account(&room.id, &claims.sub),
        ),
        name,
    };
    if claims.is_some_and(|claims| claims.moderator) && !appoint(&room, bearer.viewer).await {
        return refused(Refusal::ReadOnly);
    }
    let token = inner.key.sign(&room.id, &bearer, token_end(&inner.config));
    let body = serde_json::json!({ "viewer": bearer.viewer.to_string(), "name": bearer.name.as_str(), "token": token });
    json(StatusCode::OK, body.to_string().into_bytes())
}

/// Whom the operator says that this is; an error if it must say so and does not, or says it wrongly.
fn claims(
    rooms: &Rooms,
    room: &Handle,
    headers: &HeaderMap,
) -> Result<Option<Claims>, Box<Response>> {
    let Some(identity) = &rooms.inner().config.identity else {
        return Ok(None);
    };
    let claims = match secret(headers) {
        None if !identity.is_required() => return Ok(None),
        None => None,
        Some(token) => identity.verify(&room.id, token),
    };
    let refused = || {
        let message = "sign in first: this room takes only viewers whom its site knows";
        Box::new(error(StatusCode::UNAUTHORIZED, "unauthorized", message))
    };
    claims.map(Some).ok_or_else(refused)
}

/// Makes a viewer a moderator in the operator's name, once. False if the room is too busy.
async fn appoint(room: &Handle, viewer: ViewerId) -> bool {
    let input = Input::Moderate(Actor::Operator, Action::Appoint(viewer));
    is_moderator(room, viewer).await || room.inbox.try_send(Message::Input(Box::new(input))).is_ok()
}

/// Taps, comments, heartbeats, reports, votes.
async fn ix(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(room) = rooms.room(&id) else {
        return no_room();
    };
    let bearer =
        secret(&headers).and_then(|token| rooms.inner().key.verify(&room.id, token, now()));
    let Some(Bearer { viewer, name }) = bearer else {
        let message = "this needs a viewer's token: POST …/viewers gives one";
        return error(StatusCode::UNAUTHORIZED, "unauthorized", message);
    };
    let post = match wire::parse_post(&body) {
        Ok(post) => post,
        Err(why) => return error(StatusCode::BAD_REQUEST, "bad_request", &why.to_string()),
    };
    let source = Source {
        viewer,
        name,
        prefix: prefix_of(peer.ip()),
    };
    let receipt = match room.collector.post(&source, &post, now()) {
        Ok(receipt) => receipt,
        Err(refusal) => return refused(refusal),
    };
    if !receipt.repeated {
        pass_on(&room, &source, &post);
    }
    let answers = comments(&room, &source, post.comments, &receipt).await;
    json(StatusCode::OK, wire::encode_reply(&receipt, &answers))
}

/// Reports and votes are not answered: a room that is flooded drops them.
fn pass_on(room: &Handle, source: &Source, post: &Post) {
    let report = post.report.map(|id| Input::Report(source.viewer, id));
    let vote = post
        .vote
        .map(|(jury, vote)| Input::Vote(source.viewer, jury, vote));
    let duty = post.jury.map(|duty| Input::JuryDuty(source.viewer, duty));
    for input in [report, vote, duty].into_iter().flatten() {
        if room
            .inbox
            .try_send(Message::Input(Box::new(input)))
            .is_err()
        {
            metrics::counter!("nearcast_room_dropped_total").increment(1);
        }
    }
}

async fn comments(
    room: &Handle,
    source: &Source,
    comments: Vec<Written>,
    receipt: &Receipt,
) -> Vec<(CommentId, Answer)> {
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    for (index, written) in (0_u32..).zip(comments) {
        let text = match written.text {
            _ if index >= receipt.comments => {
                answers.push((written.id, refusal(Refusal::RateViewer)));
                continue;
            }
            Ok(text) => text,
            Err(why) => {
                answers.push((written.id, Err(("text", why.to_string()))));
                continue;
            }
        };
        let Source {
            viewer: author,
            name,
            ..
        } = source.clone();
        let draft = Draft {
            id: written.id,
            author,
            name,
            text,
            media: written.media,
            by_broadcaster: false,
        };
        let (reply, verdict) = oneshot::channel();
        // Refused before it is acknowledged: a full room takes nothing that it might lose.
        match room
            .inbox
            .try_send(Message::Comment(Box::new(draft), reply))
        {
            Ok(()) => waiting.push((written.id, verdict)),
            Err(_) => answers.push((written.id, refusal(Refusal::ReadOnly))),
        }
    }
    for (id, verdict) in waiting {
        let verdict = tokio::time::timeout(VERDICT_WAIT, verdict).await;
        let answer = match verdict {
            Ok(Ok(Ok(seq))) => Ok(seq),
            Ok(Ok(Err(why))) => refusal(why),
            Ok(Err(_)) | Err(_) => refusal(Refusal::ReadOnly),
        };
        answers.push((id, answer));
    }
    answers
}

fn refusal(refusal: Refusal) -> Answer {
    Err((refusal.code(), refusal.to_string()))
}

/// A ticket for the socket: for the bearer of the stream key, or for a viewer whom the room knows as a moderator.
async fn ticket(
    State(rooms): State<Rooms>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let Some(room) = rooms.room(&id) else {
        return no_room();
    };
    let inner = rooms.inner();
    let secret = secret(&headers).unwrap_or_default();
    let actor = match inner.key.verify(&room.id, secret, now()) {
        Some(bearer) => is_moderator(&room, bearer.viewer)
            .await
            .then_some(Actor::Moderator(bearer.viewer)),
        None if inner
            .on_air
            .is_broadcaster(&room.id, secret, peer.ip())
            .await =>
        {
            Some(Actor::Broadcaster)
        }
        None => None,
    };
    let Some(actor) = actor else {
        return error(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this needs the stream key, or a moderator's token",
        );
    };
    match inner.tickets.issue(&room.id, actor) {
        Some(ticket) => {
            let role = match actor {
                Actor::Moderator(_) => "moderator",
                _ => "broadcaster",
            };
            let body = serde_json::json!({ "ticket": ticket, "role": role });
            json(StatusCode::OK, body.to_string().into_bytes())
        }
        None => refused(Refusal::RatePrefix),
    }
}

async fn is_moderator(room: &Handle, viewer: ViewerId) -> bool {
    let (reply, answer) = oneshot::channel();
    room.inbox
        .try_send(Message::IsModerator(viewer, reply))
        .is_ok()
        && answer.await.unwrap_or(false)
}

/// What stands behind `Authorization: Bearer`.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

fn refused(refusal: Refusal) -> Response {
    metrics::counter!("nearcast_room_refusals_total", "code" => refusal.code()).increment(1);
    let status = match refusal {
        Refusal::RatePrefix | Refusal::RateViewer | Refusal::Slow => StatusCode::TOO_MANY_REQUESTS,
        Refusal::ReadOnly => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Unknown => StatusCode::NOT_FOUND,
        _ => StatusCode::FORBIDDEN,
    };
    json(status, wire::encode_refusal(refusal))
}

fn no_room() -> Response {
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        "this broadcast is not on air, so there is no room",
    )
}

pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "code": code, "message": message } });
    json(status, body.to_string().into_bytes())
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

/// A room by its id, for the socket.
pub(crate) fn room_of(rooms: &Rooms, id: &str) -> Result<Arc<Handle>, Box<Response>> {
    rooms.room(id).ok_or_else(|| Box::new(no_room()))
}
