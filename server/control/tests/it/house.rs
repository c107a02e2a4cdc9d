//! A control plane with its registry and API in a directory of its own.
//!
//! In → Out: a few verbs → requests and their answers.
//! Spec: none; our own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use control::{Control, Endpoints, Policy};
use ingest::{Admission, Gate as _, Protocol, PublishRequest, Refusal, SessionId};
use origin::{PipelineConfig, Registry, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct House {
    pub(crate) control: Control,
    pub(crate) registry: Registry,
    pub(crate) policy: watch::Sender<Policy>,
    api: SocketAddr,
    data: TempDir,
    stop_broadcasts: CancellationToken,
    stop_notes: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    server: JoinHandle<()>,
    // Dropping it would end the registry's view of the settings.
    _settings: watch::Sender<Settings>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl House {
    pub(crate) async fn new(policy: Policy) -> Self {
        Self::open(tempfile::tempdir().unwrap(), policy).await
    }

    pub(crate) async fn open(data: TempDir, policy: Policy) -> Self {
        let (settings, seen) = watch::channel(Settings {
            reconnect_window: Duration::from_secs(30),
            ended_grace: Duration::from_mins(1),
            count_max: 100,
            pipeline: PipelineConfig::default(),
        });
        let (policy, policy_seen) = watch::channel(policy);
        let (stop_broadcasts, stop_notes) = (CancellationToken::new(), CancellationToken::new());
        let (registry, keeper) = Registry::spawn_registry(seen, stop_broadcasts.clone());
        let endpoints = Endpoints { rtmp_port: 1935 };
        let control = Control::open(data.path(), registry.clone(), endpoints, policy_seen)
            .await
            .unwrap();
        let ledger = control.spawn_ledger(stop_notes.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap();
        let app = control::api::router(control.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            control,
            registry,
            policy,
            api,
            data,
            stop_broadcasts,
            stop_notes,
            tasks: vec![keeper, ledger],
            server,
            _settings: settings,
        }
    }

    /// Ends in order, as the server does, and opens the same directory again.
    pub(crate) async fn restart(self) -> Self {
        self.stop_broadcasts.cancel();
        self.stop_notes.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.control.close().await;
        self.server.abort();
        let policy = *self.policy.borrow();
        Self::open(self.data, policy).await
    }

    /// As if the process had been killed: nothing is saved beyond what is saved already.
    pub(crate) async fn crash(self) -> Self {
        self.server.abort();
        for task in self.tasks {
            task.abort();
        }
        self.control.close().await;
        let policy = *self.policy.borrow();
        Self::open(self.data, policy).await
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A publisher at the gate. `name` may carry a query.
    pub(crate) async fn knock(&self, peer: &str, name: &str) -> Result<Admission, Refusal> {
        let (name, query) = name
            .split_once('?')
            .map_or((name, None), |(name, query)| (name, Some(query.to_owned())));
        let request = PublishRequest {
            protocol: Protocol::Rtmp,
            peer: format!("{peer}:40000").parse().unwrap(),
            app: "live".to_owned(),
            name: name.to_owned(),
            query,
            session: SessionId::next(),
        };
        self.control.admit(request).await
    }

    /// Creates a broadcast over the API; its id and stream key.
    pub(crate) async fn create(&self, body: &str) -> (String, String) {
        let answer = self.admin("POST", "/api/v1/broadcasts", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let created = answer.json();
        (
            created["id"].as_str().unwrap().to_owned(),
            created["stream_key"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", "").await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = control::read_token(self.data()).unwrap();
        self.call(
            method,
            path,
            &format!("Authorization: Bearer {}\r\n", token.reveal()),
            body,
        )
        .await
    }

    /// One request over a connection of its own. `headers` end with CRLF each.
    pub(crate) async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.api).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The error's code; fails if this is no error in the documented shape.
    pub(crate) fn code(&self) -> String {
        let error = self.json();
        assert!(
            error["error"]["message"]
                .as_str()
                .is_some_and(|message| message.len() > 10),
            "{error}"
        );
        error["error"]["code"].as_str().unwrap().to_owned()
    }
}
