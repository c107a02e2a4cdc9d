//! Who may publish: a stream key names its broadcast; with `dev`, any name from this machine does.
//!
//! In → Out: `ingest::PublishRequest` → an admission from the registry, or a refusal that says what is wrong and what
//! to do. The key is the stream name (`live/KEY`, as OBS sends it) or a parameter (`live/ID?key=KEY`).
//! Spec: none; our own.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ingest::{Admission, Gate, PublishRequest, Refusal, RefusalCode};
use media::BroadcastId;
use origin::{AdmitError, Programme};

use crate::desk::Control;
use crate::ledger;
use crate::secret::StreamKey;

/// Who may publish. May change while the server runs; sessions that were admitted stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Only with a stream key.
    Keys,
    /// Any name from loopback, and with a stream key from anywhere.
    Dev,
}

/// The one application name that we serve.
const APP: &str = "live";

impl Gate for Control {
    fn admit(&self, request: PublishRequest) -> BoxFuture<'_, Result<Admission, Refusal>> {
        async move {
            let admitted = self.decide(&request).await;
            let result = admitted
                .as_ref()
                .map_or_else(|refusal| refusal.code.as_str(), |_| "admitted");
            metrics::counter!("nearcast_publish_requests_total", "result" => result).increment(1);
            admitted
        }
        .boxed()
    }
}

impl Control {
    async fn decide(&self, request: &PublishRequest) -> Result<Admission, Refusal> {
        if request.app != APP {
            return Err(Refusal::new(
                RefusalCode::BadName,
                format!(
                    "unknown application: publish to rtmp://HOST/{APP} with your stream key as the stream name"
                ),
            ));
        }
        let programme = match self.key_of(request) {
            Some(key) => self.programme_of(&key, request).await?,
            None => named_programme(request)?,
        };
        let start = ledger::reserve(&self.store, &self.registry, &programme.id)
            .await
            .map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "numbers of a broadcast cannot be read"
                );
                Refusal::new(
                    RefusalCode::Internal,
                    "the server's database failed: try again, and see the server's log",
                )
            })?;
        self.registry
            .admit(programme, start, request)
            .await
            .map_err(|error| refusal_of(&error))
    }

    /// The stream key in the request: the `key` parameter, else a stream name that looks like a key.
    fn key_of(&self, request: &PublishRequest) -> Option<String> {
        let parameter = request
            .query
            .as_deref()
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("key=")));
        match parameter {
            Some(key) => Some(key.to_owned()),
            None if StreamKey::parse(&request.name).is_some() || !self.admits_names(request) => {
                Some(request.name.clone())
            }
            None => None,
        }
    }

    /// Whether a bare name is enough.
    fn admits_names(&self, request: &PublishRequest) -> bool {
        self.policy() == Policy::Dev && request.peer.ip().to_canonical().is_loopback()
    }

    async fn programme_of(
        &self,
        key: &str,
        request: &PublishRequest,
    ) -> Result<Programme, Refusal> {
        let from = request.peer.ip();
        let found = match StreamKey::parse(key) {
            None => None,
            Some(key) => {
                let found = self
                    .store
                    .broadcast_of_key(key.name())
                    .await
                    .map_err(|error| {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a stream key cannot be looked up"
                        );
                        Refusal::new(
                            RefusalCode::Internal,
                            "the server's database failed: try again, and see the server's log",
                        )
                    })?;
                found
                    .filter(|(_, hash)| key.matches(hash))
                    .map(|(record, _)| record)
            }
        };
        let Some(record) = found else {
            let limited = self.is_limited(from);
            self.note_failure(from);
            return Err(if limited {
                limited_refusal()
            } else {
                self.wrong_key(key)
            });
        };
        // `live/ID?key=KEY` names the broadcast twice: both have to agree, or the publisher is on the wrong air.
        if request.name != key && !request.name.is_empty() && request.name != record.id.as_str() {
            return Err(Refusal::new(
                RefusalCode::BadName,
                format!(
                    "this stream key belongs to another broadcast than `{}`",
                    printable(&request.name)
                ),
            ));
        }
        if record.ended.is_some() {
            return Err(Refusal::new(
                RefusalCode::NotFound,
                "this broadcast was ended and its stream key is void: create a new one with `nearcast broadcast create`",
            ));
        }
        Ok(Programme {
            id: record.id,
            title: record.title,
        })
    }

    fn wrong_key(&self, key: &str) -> Refusal {
        let hint = match self.policy() {
            Policy::Keys => "",
            Policy::Dev => " (--dev admits bare names only from the server's own machine)",
        };
        let what = if key.is_empty() {
            "no stream key"
        } else {
            "wrong stream key"
        };
        Refusal::new(
            RefusalCode::Unauthorized,
            format!(
                "{what}: publish to rtmp://HOST/{APP}/KEY with a key from `nearcast broadcast create`{hint}"
            ),
        )
    }
}

fn named_programme(request: &PublishRequest) -> Result<Programme, Refusal> {
    let id = BroadcastId::parse(&request.name).map_err(|error| {
        Refusal::new(
            RefusalCode::BadName,
            format!("the stream name cannot be a broadcast: {error}"),
        )
    })?;
    Ok(Programme {
        title: id.to_string(),
        id,
    })
}

fn limited_refusal() -> Refusal {
    Refusal::new(
        RefusalCode::Limit,
        "too many wrong stream keys from your network: check the key, and wait a minute",
    )
}

fn refusal_of(error: &AdmitError) -> Refusal {
    let code = match error {
        AdmitError::Busy | AdmitError::Full { .. } => RefusalCode::Limit,
        AdmitError::ShuttingDown => RefusalCode::ShuttingDown,
    };
    Refusal::new(code, error.to_string())
}

/// A name from outside, fit for a log line: at most 64 harmless characters.
fn printable(name: &str) -> String {
    name.chars()
        .take(BroadcastId::LENGTH_MAX)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}
