//! HTTP/2, in clear text and over TLS: the same objects, and the known floods.
//!
//! In → Out: streams and raw frames → chunks as they are made, resets for torn objects, closed connections for attackers.
//! Spec: RFC 9113, "Denial-of-Service Considerations" (10.5); RFC 7301 (ALPN).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use delivery::HttpConfig;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{AT_ONCE, PATIENCE, until};
use crate::stage::{RUNG, Setting, Stage};

const CURRENT: &str = "/live/show/source/1.0.m4s";

async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> SendRequest<Empty<Bytes>> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

async fn connect(stage: &Stage) -> SendRequest<Empty<Bytes>> {
    handshake(TcpStream::connect(stage.address).await.unwrap()).await
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("http://show.example{path}"))
        .body(Empty::new())
        .unwrap();
    timeout(PATIENCE, sender.send_request(request))
        .await
        .unwrap()
        .unwrap()
}

async fn frame(response: &mut Response<Incoming>) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = timeout(PATIENCE, response.body_mut().frame());
        match frame
            .await
            .unwrap()?
            .map(|frame| frame.into_data().unwrap())
        {
            // The end of a stream may come as an empty frame.
            Ok(data) if data.is_empty() => {}
            result => return Some(result),
        }
    }
}

async fn streams(mut stage: Stage, mut sender: SendRequest<Empty<Bytes>>) {
    let mut current = get(&mut sender, CURRENT).await;
    let mut next = get(&mut sender, "/live/show/source/1.1.m4s").await;
    assert_eq!(
        (current.status(), next.status()),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(current.headers().get("content-length"), None);
    for text in ["first", "second"] {
        stage.chunk(1, 0, text);
        assert_eq!(frame(&mut current).await.unwrap().unwrap(), text);
    }
    stage.end(1, 0);
    assert!(frame(&mut current).await.is_none());
    stage.begin(1, 1);
    stage.chunk(1, 1, "third");
    assert_eq!(frame(&mut next).await.unwrap().unwrap(), "third");
    let whole = get(&mut sender, CURRENT).await;
    assert_eq!(whole.headers()["content-length"], "11");
    assert_eq!(
        whole.into_body().collect().await.unwrap().to_bytes(),
        "firstsecond"
    );
}

#[tokio::test]
async fn segments_grow_on_streams_of_one_connection() {
    let stage = Stage::on_air().await;
    let sender = connect(&stage).await;
    streams(stage, sender).await;
}

#[tokio::test]
async fn tls_offers_both_protocols() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut server = server
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut stage = Stage::with(Setting {
        tls: Some(Arc::new(server)),
        ..Setting::default()
    })
    .await;
    stage.init(1);
    stage.begin(1, 0);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut second = client.clone();
    second.alpn_protocols = vec![b"h2".to_vec()];
    let dial = async |config: rustls::ClientConfig| {
        let stream = TcpStream::connect(stage.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    };

    let mut first = dial(client).await;
    first
        .write_all(
            b"GET /live/show/source/1.init.mp4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, first.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"init 1"));

    let second = dial(second).await;
    assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let sender = handshake(second).await;
    streams(stage, sender).await;
}

#[tokio::test]
async fn http_11_a_torn_segment_resets_its_stream_and_no_other() {
    let mut stage = Stage::on_air().await;
    let mut sender = connect(&stage).await;
    let mut current = get(&mut sender, CURRENT).await;
    let mut held = get(&mut sender, "/live/show/source/1.1.m4s").await;
    stage.chunk(1, 0, "half");
    assert_eq!(frame(&mut current).await.unwrap().unwrap(), "half");
    stage.writer.take().unwrap().abort();
    assert!(frame(&mut current).await.unwrap().is_err());
    assert!(frame(&mut held).await.unwrap().is_err());
    assert_eq!(
        get(&mut sender, "/live/show/source/1.init.mp4")
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn errors_and_waiting_are_the_same_as_over_http_1() {
    let mut stage = Stage::on_air().await;
    let mut sender = connect(&stage).await;
    for (path, status) in [
        ("/live/show/source/1.3.m4s", 404),
        ("/live/nobody/index.m3u8", 404),
        ("/live/show//x", 400),
        ("/live/%2e%2e/x", 400),
    ] {
        assert_eq!(get(&mut sender, path).await.status(), status, "{path}");
    }
    let part = tokio::spawn({
        let mut sender = sender.clone();
        async move {
            get(&mut sender, "/live/show/source/1.0.0.m4s")
                .await
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
        }
    });
    stage.part(1, 0, "one", "two");
    assert_eq!(part.await.unwrap(), "onetwo");
}

#[tokio::test]
async fn at_shutdown_a_held_request_is_answered_and_the_connection_ends() {
    let mut stage = Stage::on_air().await;
    let mut sender = connect(&stage).await;
    let mut asked = stage.offer_rung();
    let answer = tokio::spawn(async move { get(&mut sender, RUNG).await.status() });
    asked.changed().await.unwrap();
    stage.shutdown.cancel();
    assert_eq!(timeout(AT_ONCE, answer).await.unwrap().unwrap(), 503);
    let server = std::mem::replace(&mut stage.server, tokio::spawn(async {}));
    timeout(AT_ONCE, server).await.unwrap().unwrap();
}

/// A connection on which frames are written by hand.
struct Raw(TcpStream);

impl Raw {
    async fn connect(stage: &Stage) -> Self {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut raw = Self(stream);
        raw.send(SETTINGS, 0, 0, &[]).await.unwrap();
        raw
    }

    async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.0.write_all(&bytes).await
    }

    /// Whether the server ends the connection, as it must with whoever floods it.
    async fn ends(mut self) -> bool {
        let mut sink = vec![0; 1 << 16];
        let ended = async {
            loop {
                match self.0.read(&mut sink).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        timeout(PATIENCE, ended).await.is_ok()
    }
}

/// A GET of `path` for `:authority x`, as literals without indexing.
fn request(path: &str) -> Vec<u8> {
    let mut block = vec![
        0x82,
        0x86,
        0x01,
        0x01,
        b'x',
        0x04,
        u8::try_from(path.len()).unwrap(),
    ];
    block.extend_from_slice(path.as_bytes());
    block
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[tokio::test]
async fn http_04_rapid_resets_close_the_connection() {
    let stage = Stage::on_air().await;
    let mut attacker = Raw::connect(&stage).await;
    for index in 0..20_000_u32 {
        let stream = index * 2 + 1;
        let sent = attacker
            .send(HEADERS, END_STREAM | END_HEADERS, stream, &request(CURRENT))
            .await
            .is_ok()
            && attacker
                .send(RST_STREAM, 0, stream, &[0, 0, 0, 8])
                .await
                .is_ok();
        if !sent {
            break;
        }
    }
    assert!(attacker.ends().await);
    let live = Arc::clone(&stage.live);
    until("nobody", || live.viewers() == 0).await;
}

#[tokio::test]
async fn http_04_a_flood_of_continuations_pings_or_settings_closes_the_connection() {
    let stage = Stage::on_air().await;
    for kind in [CONTINUATION, PING, SETTINGS] {
        let mut attacker = Raw::connect(&stage).await;
        if kind == CONTINUATION {
            attacker
                .send(HEADERS, END_STREAM, 1, &request(CURRENT))
                .await
                .unwrap();
        }
        let payload: &[u8] = match kind {
            PING => &[0; 8],
            SETTINGS => &[],
            _ => &[0x00, 0x01, b'a', 0x01, b'b'],
        };
        for _ in 0..50_000 {
            if attacker
                .send(kind, 0, u32::from(kind == CONTINUATION), payload)
                .await
                .is_err()
            {
                break;
            }
        }
        assert!(attacker.ends().await, "{kind}");
    }
    let mut sender = connect(&stage).await;
    assert_eq!(
        get(&mut sender, "/live/show/source/1.init.mp4")
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn http_04_a_head_that_unpacks_to_megabytes_is_refused() {
    let stage = Stage::on_air().await;
    let mut attacker = Raw::connect(&stage).await;
    // One large header goes into the table; each byte after it is that header again.
    let mut block = request(CURRENT);
    block.extend_from_slice(&[0x40, 0x01, b'x', 0x7f, 0x81, 0x1d]);
    block.extend_from_slice(&[b'y'; 3_840]);
    block.extend_from_slice(&[0xbe; 8_000]);
    attacker
        .send(HEADERS, END_STREAM | END_HEADERS, 1, &block)
        .await
        .unwrap();
    let mut answer = vec![0; 1 << 16];
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        match timeout(PATIENCE, attacker.0.read(&mut answer))
            .await
            .unwrap()
        {
            Ok(0) | Err(_) => return,
            Ok(count) => seen.extend_from_slice(&answer[..count]),
        }
        // 431 as a literal header value, or a reset or closing of the connection: refused either way.
        if seen.windows(3).any(|window| window == b"431")
            || seen
                .windows(5)
                .any(|window| window == [0, 0, 4, RST_STREAM, 0])
        {
            return;
        }
    }
    panic!("not refused: {seen:?}");
}

#[tokio::test]
async fn http_04_a_stream_whose_window_stays_shut_is_cut() {
    let http = HttpConfig {
        behind_max: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(500),
        ..HttpConfig::default()
    };
    let mut stage = Stage::with_http(http).await;
    stage.init(1);
    stage.begin(1, 0);
    let mut attacker = Raw::connect(&stage).await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0: no body may be sent, and no window update ever comes.
    attacker
        .send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
        .await
        .unwrap();
    attacker
        .send(HEADERS, END_STREAM | END_HEADERS, 1, &request(CURRENT))
        .await
        .unwrap();
    let live = Arc::clone(&stage.live);
    until("the viewer", || live.viewers() == 1).await;
    for _ in 0..10 {
        stage.chunk(1, 0, &"x".repeat(100_000));
    }
    assert!(attacker.ends().await);
    until("nobody", || live.viewers() == 0).await;
}
