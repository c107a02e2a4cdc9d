//! `nearcast serve`: opens the listeners, joins the stages, waits for signals, ends in order.
//!
//! In → Out: a checked configuration → a running server, until SIGINT or SIGTERM.
//! Ending: publishers are told, broadcasts end cleanly, viewers get their last chunk and the end mark, then the store closes.
//! Spec: design "One picture".

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use control::{Control, Endpoints, Policy};
use media::BroadcastId;
use origin::{Registry, Settings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Listen, Sources};
use crate::pages;
use crate::shutdown::{Signal, Signals};
use crate::telemetry::Telemetry;
use crate::tls::Certificate;

/// File in the data directory that says where the API of the running server is, for `nearcast broadcast`.
pub(crate) const ADDRESS_FILE: &str = "api-address";

/// Runs the server until a signal.
pub(crate) async fn run(mut config: Config, sources: Sources) -> anyhow::Result<()> {
    let telemetry = Arc::new(Telemetry::install(&config.log)?);
    check_encoder(&mut config).await;
    let mut signals = Signals::install()?;
    let server = Server::start(&config, telemetry.clone()).await?;
    server.print_urls();
    let upkeep = tokio::spawn({
        let telemetry = telemetry.clone();
        async move { telemetry.upkeep().await }
    });
    while signals.next().await == Signal::Reload {
        match sources
            .load()
            .and_then(|config| server.reload(&config, &telemetry))
        {
            Ok(()) => tracing::info!("configuration read again"),
            Err(error) => {
                tracing::error!("the configuration is wrong, the old one stays: {error:#}");
            }
        }
    }
    upkeep.abort();
    server.stop(&mut signals).await;
    Ok(())
}

/// Goes on without rungs, and says so, if the configured ffmpeg cannot make any.
async fn check_encoder(config: &mut Config) {
    let transcode = config.transcode.to_config();
    let encodes = transcode.mode != transcode::Mode::Never
        || transcode.source == transcode::SourcePolicy::Repair;
    if !encodes && !transcode.pictures {
        return;
    }
    match transcode::probe_ffmpeg(&transcode).await {
        Ok(version) => {
            let (mode, source) = (transcode.mode, transcode.source);
            tracing::info!(version, ?mode, ?source, "ffmpeg makes rungs and pictures");
        }
        Err(error) => {
            tracing::warn!("there will be `source` and `audio` only, and no pictures: {error}");
            config.transcode.disable();
        }
    }
}

/// A running server: what it listens on, and what has to end in which order.
struct Server {
    config: Config,
    listeners: Listeners,
    ready: Arc<AtomicBool>,
    settings: watch::Sender<Settings>,
    policy: watch::Sender<Policy>,
    certificate: Option<Arc<Certificate>>,
    control: Control,
    publishing: Stage,
    broadcasts: Stage,
    talking: Stage,
    watching: Stage,
    noting: Stage,
}

/// Tasks that end together.
struct Stage {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Where the server listens; `None` is off.
#[derive(Clone, Copy)]
struct Listeners {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    rtmp: Option<SocketAddr>,
}

impl Server {
    async fn start(config: &Config, telemetry: Arc<Telemetry>) -> anyhow::Result<Self> {
        let sockets = Sockets::open(config).await?;
        let listeners = sockets.addresses();
        let certificate = match config.https {
            Listen::At(_) => Some(Certificate::load(&config.tls_cert, &config.tls_key)?),
            Listen::Off => None,
        };
        let (settings, settings_seen) = watch::channel(config.settings());
        let (policy, policy_seen) = watch::channel(config.policy());

        let stop_broadcasts = CancellationToken::new();
        let (registry, keeper) = Registry::spawn_registry(settings_seen, stop_broadcasts.clone());
        let endpoints = Endpoints {
            rtmp_port: listeners.rtmp.map_or(1935, |rtmp| rtmp.port()),
        };
        let control = Control::open(&config.data, registry.clone(), endpoints, policy_seen).await?;
        let stop_notes = CancellationToken::new();
        let ledger = control.spawn_ledger(stop_notes.clone());

        let ready = Arc::new(AtomicBool::new(false));
        let stop_rooms = CancellationToken::new();
        let (rooms, keepers) = open_rooms(config, &registry, &control, &stop_rooms)?;
        let app = control::api::router(control.clone())
            .merge(rooms)
            .merge(probes(ready.clone(), telemetry))
            .merge(pages::router());
        let (publishing, watching) =
            sockets.serve(config, &control, registry, &app, certificate.as_ref())?;
        listeners.write_file(config)?;
        ready.store(true, Ordering::Release);
        Ok(Self {
            config: config.clone(),
            listeners,
            ready,
            settings,
            policy,
            certificate,
            control,
            publishing,
            broadcasts: Stage {
                stop: stop_broadcasts,
                tasks: vec![keeper],
            },
            talking: Stage {
                stop: stop_rooms,
                tasks: keepers,
            },
            watching,
            noting: Stage {
                stop: stop_notes,
                tasks: vec![ledger],
            },
        })
    }

    /// Takes over what can change without dropping anybody; says what needs a restart.
    fn reload(&self, config: &Config, telemetry: &Telemetry) -> anyhow::Result<()> {
        if let Some(certificate) = &self.certificate {
            certificate.reload(&config.tls_cert, &config.tls_key)?;
        }
        telemetry.reconfigure(&config.log)?;
        // What was found out about ffmpeg at start still holds.
        let running = Config {
            transcode: self.config.transcode.clone(),
            ..config.clone()
        };
        self.settings.send_replace(running.settings());
        self.policy.send_replace(config.policy());
        for key in config.needs_restart(&self.config) {
            tracing::warn!(key, "this setting changed, but takes a restart");
        }
        Ok(())
    }

    /// Ends in the direction in which media flows. A second signal ends the process at once.
    async fn stop(self, signals: &mut Signals) {
        tracing::info!("stopping; a second signal stops at once");
        self.ready.store(false, Ordering::Release);
        let address = self.config.data.join(ADDRESS_FILE);
        let in_order = async {
            // Broadcasts first: they tell their publishers why, and close what is open.
            let on_air = self.control.is_on_air();
            self.broadcasts.end().await;
            self.talking.end().await;
            if on_air {
                tokio::time::sleep(self.config.broadcast.farewell.0).await;
            }
            self.publishing.end().await;
            self.watching.end().await;
            self.noting.end().await;
            self.control.close().await;
        };
        tokio::select! {
            () = in_order => tracing::info!("stopped"),
            () = until_stop(signals) => tracing::warn!("stopped at once"),
        }
        // Absent after a server that listened on no plain HTTP.
        let _ = std::fs::remove_file(address);
    }

    /// Says where everything is, in one write.
    fn print_urls(&self) {
        let Listeners { http, https, rtmp } = self.listeners;
        let mut lines = Vec::new();
        for (name, scheme, listener) in [("http ", "http", http), ("https", "https", https)] {
            if let Some(listener) = listener {
                lines.push(format!("{name}  {scheme}://{}/\n", local(listener)));
            }
        }
        if let (true, Some(http)) = (self.config.dev, http) {
            lines.push(format!("watch  http://{}/b/NAME\n", local(http)));
        }
        if let Some(rtmp) = rtmp {
            let (name, who) = if self.config.dev {
                ("NAME", "any NAME, from this machine")
            } else {
                ("KEY", "with a stream key from `nearcast broadcast create`")
            };
            lines.push(format!(
                "rtmp   rtmp://{}/live/{name}   ({who})\n",
                local(rtmp)
            ));
        }
        // Whoever started the server may not listen any more; the log has the errors that matter.
        let mut out = std::io::stdout().lock();
        let _ = out
            .write_all(lines.concat().as_bytes())
            .and_then(|()| out.flush());
    }
}

/// Open sockets that nobody serves yet.
struct Sockets {
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    rtmp: Option<TcpListener>,
}

impl Sockets {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("http", config.http).await?,
            https: bind("https", config.https).await?,
            rtmp: bind("rtmp", config.rtmp).await?,
        })
    }

    fn addresses(&self) -> Listeners {
        let address = |listener: &Option<TcpListener>| {
            listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok())
        };
        Listeners {
            http: address(&self.http),
            https: address(&self.https),
            rtmp: address(&self.rtmp),
        }
    }

    /// Lets publishers and viewers in.
    fn serve(
        self,
        config: &Config,
        control: &Control,
        registry: Registry,
        app: &Router,
        certificate: Option<&Arc<Certificate>>,
    ) -> anyhow::Result<(Stage, Stage)> {
        let mut watching = Stage {
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        let mut publishing = Stage {
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        let source: Arc<dyn delivery::Source> = Arc::new(registry);
        let tls = certificate.map(Certificate::server_config).transpose()?;
        for (listener, tls) in [(self.http, None), (self.https, tls)] {
            let Some(listener) = listener else { continue };
            let (source, app, stop) = (source.clone(), app.clone(), watching.stop.clone());
            watching.tasks.push(delivery::spawn_http(
                listener,
                config.delivery.to_http()?,
                source,
                app,
                tls,
                stop,
            ));
        }
        if let Some(listener) = self.rtmp {
            let gate = Arc::new(control.clone());
            publishing.tasks.push(ingest::spawn_rtmp(
                listener,
                config.ingest.to_rtmp(config.transcode.pictures_taken()),
                gate,
                publishing.stop.clone(),
            ));
        }
        Ok((publishing, watching))
    }
}

impl Listeners {
    /// Tells `nearcast broadcast` where the API is.
    fn write_file(&self, config: &Config) -> anyhow::Result<()> {
        let Some(http) = self.http else {
            return Ok(());
        };
        let file = config.data.join(ADDRESS_FILE);
        std::fs::write(&file, local(http).to_string())
            .with_context(|| format!("{} cannot be written", file.display()))
    }
}

impl Stage {
    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a stage of the server failed");
            }
        }
    }
}

async fn until_stop(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

/// Rooms and their routes; nothing if the configuration wants none.
fn open_rooms(
    config: &Config,
    registry: &Registry,
    control: &Control,
    stop: &CancellationToken,
) -> anyhow::Result<(Router, Vec<JoinHandle<()>>)> {
    let Some(settings) = config.interaction.to_config(&config.data)? else {
        return Ok((Router::new(), Vec::new()));
    };
    let on_air = Arc::new(OnAir {
        registry: registry.clone(),
        control: control.clone(),
    });
    let (rooms, keeper) = interaction::Rooms::spawn_rooms(settings, on_air, stop.clone())?;
    Ok((interaction::router(rooms), vec![keeper]))
}

/// What rooms see of the rest.
struct OnAir {
    registry: Registry,
    control: Control,
}

impl interaction::OnAir for OnAir {
    fn broadcasts(&self) -> Vec<Arc<delivery::Live>> {
        self.registry.on_air()
    }

    fn is_broadcaster<'a>(
        &'a self,
        id: &'a BroadcastId,
        secret: &'a str,
        from: IpAddr,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.control.is_broadcaster(id, secret, from))
    }
}

/// Probes and metrics.
fn probes(ready: Arc<AtomicBool>, telemetry: Arc<Telemetry>) -> Router {
    let readiness = move || {
        let ready = ready.load(Ordering::Acquire);
        async move {
            if ready {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
        }
    };
    let no_store = [("cache-control", "no-store")];
    let scrape = move || {
        let text = telemetry.scrape();
        async move {
            (
                [
                    ("cache-control", "no-store"),
                    ("content-type", "text/plain; version=0.0.4; charset=utf-8"),
                ],
                text,
            )
        }
    };
    Router::new()
        .route(
            "/healthz",
            get(move || async move { (no_store, "alive\n") }),
        )
        .route("/readyz", get(readiness))
        .route("/metrics", get(scrape))
}

/// Opens a listener, or says which port of which setting is the problem, and what to do.
async fn bind(key: &str, listen: Listen) -> anyhow::Result<Option<TcpListener>> {
    let Listen::At(address) = listen else {
        return Ok(None);
    };
    let help = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "port {} is taken by another program: stop that one (`ss -ltnp 'sport = :{0}'` names it), or choose another port with --{key} {}:PORT",
                address.port(),
                address.ip()
            )
        }
        std::io::ErrorKind::PermissionDenied => format!(
            "port {} may only be opened by root: choose one above 1023 with --{key} {}:PORT",
            address.port(),
            address.ip()
        ),
        std::io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {}: choose another with --{key} ADDR:{}",
            address.ip(),
            address.port()
        ),
        _ => format!("--{key} {address} cannot be opened: {error}"),
    };
    TcpListener::bind(address)
        .await
        .map(Some)
        .map_err(|error| anyhow::anyhow!("{}", help(&error)))
}

/// An address that a program on this machine can connect to.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
