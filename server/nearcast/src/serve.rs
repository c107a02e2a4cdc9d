//! `nearcast serve`: opens the listeners, joins the stages, waits for signals, ends in order.
//!
//! In → Out: a checked configuration → a running server, until SIGINT or SIGTERM.
//! Ending: publishers are told, broadcasts end cleanly, viewers get their last chunk and the end mark, then the store closes.
//! Spec: design "One picture".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use control::{Control, Endpoints, Policy};
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
pub(crate) async fn run(config: Config, sources: Sources) -> anyhow::Result<()> {
    let telemetry = Arc::new(Telemetry::install(&config.log)?);
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
                tracing::error!("the configuration is wrong, the old one stays: {error:#}")
            }
        }
    }
    upkeep.abort();
    server.stop(&mut signals).await;
    Ok(())
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
        let http = bind("http", config.http).await?;
        let https = bind("https", config.https).await?;
        let rtmp = bind("rtmp", config.rtmp).await?;
        let listeners = Listeners {
            http: address(http.as_ref()),
            https: address(https.as_ref()),
            rtmp: address(rtmp.as_ref()),
        };
        let certificate = https
            .as_ref()
            .map(|_| Certificate::load(&config.tls_cert, &config.tls_key))
            .transpose()?;

        let stops: [CancellationToken; 4] = std::array::from_fn(|_| CancellationToken::new());
        let [publishing, broadcasts, watching, noting] = stops;
        let (settings, settings_seen) = watch::channel(config.settings());
        let (policy, policy_seen) = watch::channel(config.policy());
        let (registry, keeper) = Registry::spawn_registry(settings_seen, broadcasts.clone());
        let endpoints = Endpoints {
            rtmp: listeners.rtmp.map_or_else(
                || "rtmp://localhost".to_owned(),
                |rtmp| format!("rtmp://localhost:{}", rtmp.port()),
            ),
        };
        let control = Control::open(&config.data, registry.clone(), endpoints, policy_seen).await?;
        let ledger = control.spawn_ledger(noting.clone());

        let ready = Arc::new(AtomicBool::new(false));
        let app = control::api::router(control.clone())
            .merge(probes(ready.clone(), telemetry))
            .merge(pages::router());
        let source: Arc<dyn delivery::Source> = Arc::new(registry);
        let tls = certificate
            .as_ref()
            .map(Certificate::server_config)
            .transpose()?;
        let mut viewers = Vec::new();
        for (listener, tls) in [(http, None), (https, tls)] {
            let Some(listener) = listener else { continue };
            viewers.push(delivery::spawn_http(
                listener,
                config.delivery.to_http(),
                source.clone(),
                app.clone(),
                tls,
                watching.clone(),
            ));
        }
        let publishers = rtmp.map(|listener| {
            ingest::spawn_rtmp(
                listener,
                config.ingest.to_rtmp(),
                Arc::new(control.clone()),
                publishing.clone(),
            )
        });
        if let Some(http) = listeners.http {
            let file = config.data.join(ADDRESS_FILE);
            std::fs::write(&file, local(http).to_string())
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        ready.store(true, Ordering::Release);
        Ok(Self {
            config: config.clone(),
            listeners,
            ready,
            settings,
            policy,
            certificate,
            control,
            publishing: Stage {
                stop: publishing,
                tasks: publishers.into_iter().collect(),
            },
            broadcasts: Stage {
                stop: broadcasts,
                tasks: vec![keeper],
            },
            watching: Stage {
                stop: watching,
                tasks: viewers,
            },
            noting: Stage {
                stop: noting,
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
        self.settings.send_replace(config.settings());
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
            self.broadcasts.end().await;
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

    fn print_urls(&self) {
        let Listeners { http, https, rtmp } = self.listeners;
        for (name, listener) in [("http ", http), ("https", https)] {
            if let Some(listener) = listener {
                println!("{name}  {}://{}/", name.trim(), shown(listener));
            }
        }
        if let Some(rtmp) = rtmp {
            let who = if self.config.dev {
                "any NAME, from this machine"
            } else {
                "with a stream key from `nearcast broadcast create`"
            };
            let what = if self.config.dev { "NAME" } else { "KEY" };
            println!("rtmp   rtmp://{}/live/{what}   ({who})", shown(rtmp));
        }
        if let (true, Some(http)) = (self.config.dev, http) {
            println!("watch  http://{}/b/NAME", shown(http));
        }
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

fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
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

/// What a person on this machine types.
fn shown(address: SocketAddr) -> String {
    local(address).to_string()
}
