//! A synthetic broadcast named `show` and a server in front of it.
//!
//! In → Out: what a packager would output, by hand → objects under `/live/show/source/`.
//! Spec: none; our own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use bytes::Bytes;
use delivery::{HttpConfig, Live, LiveConfig, LiveWriter, Source, spawn_http};
use hls::ladder::Rung;
use hls::{Cut, Output, WindowConfig};
use media::{
    AudioCodec, AudioConfig, BroadcastId, Delta, Duration, Epoch, Msn, RenditionName, SegmentId,
    Timestamp, Track, TrackConfig, TrackId, UnixTime,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Http1;

pub(crate) const SOURCE: RenditionName = RenditionName::Source;

/// The playlist of the rung that can be offered.
pub(crate) const RUNG: &str = "/live/show/480p/index.m3u8";

/// A server, and the hand that feeds it.
pub(crate) struct Stage {
    pub(crate) writer: Option<LiveWriter>,
    pub(crate) live: Arc<Live>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: JoinHandle<()>,
    source: Arc<One>,
    chunks: u32,
    parts: u32,
}

pub(crate) struct One(Mutex<Option<Arc<Live>>>);

impl Source for One {
    fn live(&self, id: &str) -> Option<Arc<Live>> {
        self.0
            .lock()
            .unwrap()
            .clone()
            .filter(|live| live.id().as_str() == id)
    }
}

/// How a stage differs from the usual.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) http: HttpConfig,
    pub(crate) window: WindowConfig,
    pub(crate) app: Router,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with_http(http: HttpConfig) -> Self {
        Self::with(Setting {
            http,
            ..Setting::default()
        })
        .await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        let config = LiveConfig {
            window: setting.window,
            ..LiveConfig::default()
        };
        let (writer, live) = LiveWriter::new(BroadcastId::parse("show").unwrap(), config);
        let source = Arc::new(One(Mutex::new(Some(Arc::clone(&live)))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let http = HttpConfig {
            shards: Some(2),
            ..setting.http
        };
        let server = spawn_http(
            listener,
            http,
            Arc::clone(&source) as _,
            setting.app,
            setting.tls,
            shutdown.clone(),
        );
        Self {
            writer: Some(writer),
            live,
            address,
            shutdown,
            server,
            source,
            chunks: 0,
            parts: 0,
        }
    }

    /// A stage on which epoch 1 is announced and segment 0 is open.
    pub(crate) async fn on_air() -> Self {
        let mut stage = Self::new().await;
        stage.init(1);
        stage.begin(1, 0);
        stage
    }

    pub(crate) async fn connect(&self) -> Http1 {
        Http1::connect(self.address).await
    }

    pub(crate) fn output(&mut self, output: &Output) {
        self.writer.as_mut().unwrap().apply(SOURCE, output);
    }

    pub(crate) fn init(&mut self, epoch: u32) {
        self.output(&init(epoch));
    }

    pub(crate) fn begin(&mut self, epoch: u32, msn: u64) {
        self.output(&begin(epoch, msn));
        (self.chunks, self.parts) = (0, 0);
    }

    /// A chunk of the open segment, as fMP4 and, in capitals, as MPEG-TS.
    pub(crate) fn chunk(&mut self, epoch: u32, msn: u64, text: &str) {
        self.output(&Output::Chunk {
            segment: id(epoch, msn),
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            ts: Some(Bytes::from(text.to_uppercase())),
            duration: Duration::from_millis(100),
            independent: true,
        });
        self.chunks += 1;
    }

    /// Two chunks that make a part of 200 ms.
    pub(crate) fn part(&mut self, epoch: u32, msn: u64, first: &str, second: &str) {
        self.chunk(epoch, msn, first);
        self.chunk(epoch, msn, second);
        self.output(&Output::Part {
            segment: id(epoch, msn),
            part: self.parts,
            chunks: self.chunks - 2..self.chunks,
            duration: Duration::from_millis(200),
            independent: true,
        });
        self.parts += 1;
    }

    pub(crate) fn end(&mut self, epoch: u32, msn: u64) {
        self.output(&Output::SegmentEnd {
            id: id(epoch, msn),
            duration: Duration::from_secs(2),
        });
    }

    /// A segment with one part, from beginning to end.
    pub(crate) fn segment(&mut self, epoch: u32, msn: u64) {
        self.begin(epoch, msn);
        self.part(
            epoch,
            msn,
            &format!("{epoch}.{msn} one;"),
            &format!("{epoch}.{msn} two;"),
        );
        self.end(epoch, msn);
    }

    /// Offers a rung that nobody makes; requests for its playlist are held. Tells when somebody asks.
    pub(crate) fn offer_rung(&mut self) -> watch::Receiver<u64> {
        let rung = Rung {
            name: RenditionName::P480,
            width: 854,
            height: 480,
            bitrate_bps: 1_200_000,
            level: 31,
        };
        self.writer.as_mut().unwrap().offer(vec![rung], Vec::new());
        self.live.demand()
    }

    /// A viewer whose request for the playlist of a rung is held.
    pub(crate) async fn wait_for_rung(&mut self) -> Http1 {
        let mut asked = self.offer_rung();
        let mut viewer = self.connect().await;
        viewer
            .send(&format!("GET {RUNG} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        asked.changed().await.unwrap();
        viewer
    }

    /// The broadcast is not known any more.
    pub(crate) fn forget(&self) {
        *self.source.0.lock().unwrap() = None;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn id(epoch: u32, msn: u64) -> SegmentId {
    SegmentId {
        epoch: Epoch(epoch),
        msn: Msn(msn),
    }
}

pub(crate) fn init(epoch: u32) -> Output {
    let audio = AudioConfig {
        codec: AudioCodec::Aac,
        codec_string: "mp4a.40.2".to_owned(),
        decoder_config: Bytes::from_static(&[0x12, 0x10]),
        sample_rate: 44_100,
        channels: 2,
        samples_per_unit: 1024,
    };
    Output::Init {
        epoch: Epoch(epoch),
        bytes: Bytes::from(format!("init {epoch}")),
        tracks: Arc::from([Track {
            id: TrackId::AUDIO,
            config: TrackConfig::Audio(audio),
        }]),
    }
}

pub(crate) fn begin(epoch: u32, msn: u64) -> Output {
    let (id, at) = (
        id(epoch, msn),
        UnixTime::from_millis(1_795_350_896_000 + msn * 2_000),
    );
    Output::SegmentStart {
        id,
        discontinuity: false,
        program_date_time: at,
        part_target: Duration::from_millis(200),
        frame_duration: None,
        cut: Cut {
            id,
            discontinuity: false,
            program_date_time: at,
            pts: Timestamp::ZERO,
            audio_pts: Timestamp::ZERO,
            shift: Delta::ZERO,
        },
    }
}
