//! A server with one broadcast whose segments begin when a test says so.
//!
//! In → Out: requests → status and body; a segment's address → its lines so far.
//! Spec: docs/ix.md.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use delivery::{HttpConfig, Live, LiveConfig, LiveWriter, Source};
use interaction::{Config, OnAir, Rooms};
use media::{BroadcastId, Epoch, Msn, RenditionName, SegmentId, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "the stream key";

struct One(Arc<Live>);

impl Source for One {
    fn live(&self, id: &str) -> Option<Arc<Live>> {
        (id == self.0.id().as_str()).then(|| Arc::clone(&self.0))
    }
}

impl OnAir for One {
    fn broadcasts(&self) -> Vec<Arc<Live>> {
        vec![Arc::clone(&self.0)]
    }

    fn is_broadcaster<'a>(
        &'a self,
        _: &'a BroadcastId,
        secret: &'a str,
        _: IpAddr,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(secret == KEY))
    }
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) data: PathBuf,
    writer: LiveWriter,
    stop: CancellationToken,
    rooms: JoinHandle<()>,
    http: JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(Config::new(data.to_owned())).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self::start_http(config, HttpConfig::default()).await
    }

    /// Behind proxies whose `X-Forwarded-For` is believed.
    pub(crate) async fn start_behind(config: Config, proxies: &str) -> Self {
        let trusted_proxies = delivery::TrustedProxies::parse([proxies]).unwrap();
        let http = HttpConfig {
            trusted_proxies,
            ..HttpConfig::default()
        };
        Self::start_http(config, http).await
    }

    async fn start_http(config: Config, http: HttpConfig) -> Self {
        let data = config.data.clone();
        let id = BroadcastId::parse("show").unwrap();
        let (writer, live) = LiveWriter::new(id, LiveConfig::default());
        let stop = CancellationToken::new();
        let one = Arc::new(One(live));
        let (rooms, keeper) = Rooms::spawn_rooms(config, one.clone(), stop.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = interaction::router(rooms);
        let http = HttpConfig {
            shards: Some(1),
            drain: Duration::from_millis(100),
            ..http
        };
        let http = delivery::spawn_http(listener, http, one, app, None, stop.clone());
        let mut rig = Self {
            address,
            data,
            writer,
            stop,
            rooms: keeper,
            http,
        };
        rig.begin(0);
        rig.until(async |rig| rig.get("/live/show/ix/index.json").await.0 == 200)
            .await;
        rig
    }

    /// Begins a media segment, and with it an interaction segment.
    pub(crate) fn begin(&mut self, msn: u64) {
        let id = SegmentId {
            epoch: Epoch(1),
            msn: Msn(msn),
        };
        let program_date_time = UnixTime::from_millis(now_ms());
        if let Some(before) = msn.checked_sub(1).map(Msn) {
            let id = SegmentId { msn: before, ..id };
            let duration = media::Duration::from_secs(2);
            self.writer.apply(
                RenditionName::Source,
                &hls::Output::SegmentEnd { id, duration },
            );
        }
        let start = hls::Output::SegmentStart {
            id,
            discontinuity: false,
            program_date_time,
            part_target: media::Duration::from_millis(200),
            frame_duration: None,
            cut: hls::Cut {
                id,
                discontinuity: false,
                program_date_time,
                pts: media::Timestamp::ZERO,
                audio_pts: media::Timestamp::ZERO,
                shift: media::Delta::ZERO,
            },
        };
        self.writer.apply(RenditionName::Source, &start);
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.rooms.await.unwrap();
        self.http.await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "", "").await
    }

    pub(crate) async fn post(&self, path: &str, secret: &str, body: &str) -> (u16, String) {
        self.request(
            "POST",
            &format!("/api/v1/broadcasts/show/{path}"),
            secret,
            body,
        )
        .await
    }

    /// A post that a proxy passes on; the answer's status.
    pub(crate) async fn post_from(&self, viewer: &str, token: &str, body: &str) -> u16 {
        let extra = format!("{token}\r\nX-Forwarded-For: {viewer}");
        self.post("ix", &extra, body).await.0
    }

    async fn request(&self, method: &str, path: &str, secret: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (
            status,
            text.split_once("\r\n\r\n")
                .map_or(String::new(), |(_, body)| body.to_owned()),
        )
    }

    pub(crate) async fn viewer(&self, name: &str) -> Viewer {
        let (status, body) = self
            .post(
                "viewers",
                "",
                &serde_json::json!({ "name": name }).to_string(),
            )
            .await;
        assert_eq!(status, 200, "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        Viewer {
            id: body["viewer"].as_str().unwrap().to_owned(),
            token: body["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Follows a segment from its beginning; it may not have begun.
    pub(crate) async fn follow(&self, msn: u64) -> Reader {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET /live/show/ix/1.{msn}.jsonl HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Reader {
            stream,
            text: String::new(),
        }
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, mut so: impl AsyncFnMut(&Self) -> bool) {
        let waiting = async {
            while !so(self).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(40), waiting)
            .await
            .expect("it never came to be");
    }
}

pub(crate) struct Viewer {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A reader of one growing segment.
pub(crate) struct Reader {
    stream: TcpStream,
    text: String,
}

impl Reader {
    /// Reads until a text is there; returns everything so far.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let reading = async {
            while !self.text.contains(text) {
                let mut buffer = [0; 4_096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(
                    count > 0,
                    "the connection ended before {text:?}: {}",
                    self.text
                );
                self.text
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        tokio::time::timeout(Duration::from_secs(40), reading)
            .await
            .unwrap_or_else(|_| panic!("{text:?} never came: {}", self.text));
        self.text.clone()
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A data directory of its own, empty.
pub(crate) fn data(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("nearcast-room-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The end of a chunked body: the last chunk.
pub(crate) const END: &str = "\r\n0\r\n\r\n";
