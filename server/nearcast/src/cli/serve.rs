//! `nearcast serve`: flags over environment over file over defaults, then the server until a signal.
//!
//! In → Out: arguments → a checked configuration → `serve::run`.
//! Spec: none; our own.

use std::path::PathBuf;

use toml::Value;

use crate::config::{Flag, Listen, Sources};

/// Every flag is also a key of nearcast.toml and an environment variable: --http is `http = "…"` and NEARCAST_HTTP.
/// Flags beat variables, variables beat the file, the file beats the built-in values.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Read this configuration file [default: ./nearcast.toml if it exists]
    #[arg(long, value_name = "FILE", env = "NEARCAST_CONFIG")]
    config: Option<PathBuf>,
    /// Let anybody on this machine publish as rtmp://localhost/live/NAME without a stream key
    #[arg(long)]
    dev: bool,
    /// Listen for viewers here, or "off" [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<Listen>,
    /// Listen for viewers over TLS here [default: off]
    #[arg(long, value_name = "ADDR")]
    https: Option<Listen>,
    /// Certificate chain for --https, as PEM; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key for --https, as PEM; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Listen for publishers here, or "off" [default: 0.0.0.0:1935]
    #[arg(long, value_name = "ADDR")]
    rtmp: Option<Listen>,
    /// Keep the database and the admin token in this directory [default: ./nearcast-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Args {
    /// These flags and the process's environment.
    fn sources(self) -> Sources {
        let mut flags: Vec<Flag> = Vec::new();
        if self.dev {
            flags.push(("dev", Value::Boolean(true)));
        }
        for (key, listen) in [
            ("http", self.http),
            ("https", self.https),
            ("rtmp", self.rtmp),
        ] {
            flags.extend(listen.map(|listen| (key, Value::String(listen.to_string()))));
        }
        for (key, path) in [
            ("tls_cert", self.tls_cert),
            ("tls_key", self.tls_key),
            ("data", self.data),
        ] {
            flags.extend(path.map(|path| (key, Value::String(path.display().to_string()))));
        }
        // NEARCAST_CONFIG names the file; it is no key inside it.
        let env = std::env::vars()
            .filter(|(name, _)| name != "NEARCAST_CONFIG")
            .collect();
        Sources {
            file: self.config,
            env,
            flags,
        }
    }
}

/// Runs the server until SIGINT or SIGTERM.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let sources = args.sources();
    let config = sources.load()?;
    crate::serve::run(config, sources).await
}
