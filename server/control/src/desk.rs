//! The state that the gate and the API share: the store, the registry, the policy, the count of wrong secrets.
//!
//! In → Out: made once at start; cheap to clone; every part of it may be used from many tasks.
//! Spec: none; our own.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::http::uri::Authority;
use media::BroadcastId;
use origin::{Registry, State};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::gate::Policy;
use crate::ledger;
use crate::limiter::Limiter;
use crate::secret::{AdminToken, Hash, StreamKey};
use crate::store::Store;

/// What the control plane knows. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) endpoints: Arc<Endpoints>,
    policy: watch::Receiver<Policy>,
    admin: Arc<Hash>,
    limiter: Arc<Mutex<Limiter>>,
}

/// How publishers reach this server, for the URLs that people are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// TCP port that RTMP publishers connect to.
    pub rtmp_port: u16,
}

impl Endpoints {
    /// Such as `rtmp://live.example.org:1935`: the host that the asker reached this server by is one that it can be reached
    /// by. `None`, or what is no host: `localhost`.
    pub(crate) fn rtmp(&self, authority: Option<&str>) -> String {
        let authority = authority.and_then(|text| text.parse::<Authority>().ok());
        let host = authority.as_ref().map_or("localhost", Authority::host);
        format!("rtmp://{host}:{}", self.rtmp_port)
    }
}

/// File in the data directory that holds the admin token in clear, readable by its owner only.
const TOKEN_FILE: &str = "admin-token";

impl Control {
    /// Opens the store in `data` (made if absent) and makes the admin token if there is none.
    pub async fn open(
        data: &Path,
        registry: Registry,
        endpoints: Endpoints,
        policy: watch::Receiver<Policy>,
    ) -> anyhow::Result<Self> {
        // Hashes are no secrets, but who may publish what is nobody else's business.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .with_context(|| format!("the data directory {} cannot be made", data.display()))?;
        let store = Store::open(data)
            .await
            .with_context(|| format!("the database in {} cannot be opened", data.display()))?;
        let admin = Arc::new(admin_hash(&store, &data.join(TOKEN_FILE)).await?);
        Ok(Self {
            store,
            registry,
            endpoints: Arc::new(endpoints),
            policy,
            admin,
            limiter: Arc::default(),
        })
    }

    /// Who may publish, as of now.
    pub(crate) fn policy(&self) -> Policy {
        *self.policy.borrow()
    }

    /// Whether this is the admin token. A wrong one counts against the address.
    pub(crate) fn is_admin(&self, token: &AdminToken, from: IpAddr) -> bool {
        let right = token.matches(&self.admin);
        if !right {
            self.note_failure(from);
        }
        right
    }

    /// Whether wrong secrets from this address are answered shortly.
    pub(crate) fn is_limited(&self, from: IpAddr) -> bool {
        self.limiter().is_limited(from, Instant::now())
    }

    /// Counts a wrong secret.
    pub(crate) fn note_failure(&self, from: IpAddr) {
        self.limiter().note_failure(from, Instant::now());
    }

    /// Whether this secret makes its bearer the broadcaster: the stream key, or with `dev` anything from this machine for a
    /// broadcast that has no key. A wrong one counts against the address.
    pub async fn is_broadcaster(&self, id: &BroadcastId, secret: &str, from: IpAddr) -> bool {
        if let Some(key) = StreamKey::parse(secret) {
            let found = self.store.broadcast_of_key(key.name()).await;
            if let Ok(Some((record, hash))) = found
                && key.matches(&hash)
                && record.ended.is_none()
                && record.id == *id
            {
                return true;
            }
        }
        let named = self.policy() == Policy::Dev && from.to_canonical().is_loopback();
        if named && matches!(self.store.broadcast(id).await, Ok(None)) {
            return true;
        }
        self.note_failure(from);
        false
    }

    /// Whether anything is on air, so that somebody may be watching.
    pub fn is_on_air(&self) -> bool {
        self.registry
            .statuses()
            .iter()
            .any(|status| status.state != State::Ended)
    }

    /// Starts to note how far numbers have run; see `ledger.rs`. Cancel `stopped` when all broadcasts have ended.
    pub fn spawn_ledger(&self, stopped: CancellationToken) -> JoinHandle<()> {
        ledger::spawn_ledger(self.store.clone(), self.registry.clone(), stopped)
    }

    /// Writes what is pending. The last call.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        // Counters are whole after any panic: each change is one assignment.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the token that the local command line uses.
pub fn read_token(data: &Path) -> io::Result<AdminToken> {
    std::fs::read_to_string(data.join(TOKEN_FILE)).map(|text| AdminToken::from_text(&text))
}

/// The hash of the admin token: the stored one if the file still holds its token; otherwise of a new token, so that
/// deleting the file is how an owner replaces a token that got out.
async fn admin_hash(store: &Store, file: &Path) -> anyhow::Result<Hash> {
    if let Some(stored) = store.admin_hash().await? {
        let in_file = std::fs::read_to_string(file).map(|text| AdminToken::from_text(&text));
        if in_file.is_ok_and(|token| token.matches(&stored)) {
            return Ok(stored);
        }
        tracing::info!(file = %file.display(), "the admin token's file is gone or changed: a new token replaces the old one");
    }
    let token = AdminToken::generate();
    write_secret(file, token.reveal())
        .with_context(|| format!("the admin token cannot be written to {}", file.display()))?;
    store.save_admin_hash(&token.hash()).await?;
    Ok(token.hash())
}

/// Writes a new file that only its owner may read, in place of any old one.
fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    writeln!(out, "{text}")
}
