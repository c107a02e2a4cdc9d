//! `nearcast broadcast create | list | end`: talks to the server that uses the same data directory on this machine.
//!
//! In → Out: arguments → a call of the JSON API with the admin token from the data directory → text for a terminal.
//! Spec: `/api/v1/openapi.json`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::config::Sources;
use crate::serve::ADDRESS_FILE;

/// Arguments of `nearcast broadcast`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The server's data directory [default: the one in nearcast.toml, else ./nearcast-data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Read this configuration file [default: ./nearcast.toml if it exists]
    #[arg(long, value_name = "FILE", global = true, env = "NEARCAST_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a broadcast; prints its stream key, which is shown only this once.
    Create {
        /// What viewers read above it [default: the id]
        #[arg(long, value_name = "T")]
        title: Option<String>,
        /// Its id in URLs: letters, digits, '-' and '_' [default: random]
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// List broadcasts: on air, and created but not on air.
    List,
    /// End a broadcast for good: viewers get a clean end, its stream key becomes void.
    End {
        /// The broadcast's id.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// The longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// Runs one action.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let env = std::env::vars()
        .filter(|(name, _)| name != "NEARCAST_CONFIG")
        .collect();
    let flags = args
        .data
        .iter()
        .map(|data| ("data", toml::Value::String(data.display().to_string())))
        .collect();
    let config = Sources {
        file: args.config,
        env,
        flags,
    }
    .load()?;
    let api = Api::find(&config.data)?;
    match args.action {
        Action::Create { title, id } => create(&api, title, id).await,
        Action::List => list(&api).await,
        Action::End { id } => end(&api, &id).await,
    }
}

async fn create(api: &Api, title: Option<String>, id: Option<String>) -> anyhow::Result<()> {
    let body = match (title, id) {
        (title, Some(id)) => json!({ "title": title, "id": id }),
        (title, None) => json!({ "title": title }),
    };
    let made = api
        .call(Method::POST, "/api/v1/broadcasts", Some(&body))
        .await?;
    println!("id          {}", text(&made, "id"));
    println!(
        "stream key  {}   (shown only now; keep it secret)",
        text(&made, "stream_key")
    );
    println!("publish     {}", text(&made, "publish_url"));
    println!("watch       {}{}", api.base(), text(&made, "watch_url"));
    println!("From other machines, put this one's name or address in place of the host in both.");
    Ok(())
}

async fn list(api: &Api) -> anyhow::Result<()> {
    let answer = api
        .call(Method::GET, "/api/v1/broadcasts?state=all", None)
        .await?;
    let broadcasts = answer["broadcasts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if broadcasts.is_empty() {
        println!("no broadcasts; `nearcast broadcast create` makes one");
        return Ok(());
    }
    println!(
        "{:<24} {:<12} {:>7}  {:<24} TITLE",
        "ID", "STATE", "VIEWERS", "SINCE"
    );
    for broadcast in broadcasts {
        let viewers = broadcast["viewers"].as_u64().unwrap_or_default();
        println!(
            "{:<24} {:<12} {viewers:>7}  {:<24} {}",
            text(broadcast, "id"),
            text(broadcast, "state"),
            text(broadcast, "since"),
            text(broadcast, "title")
        );
    }
    Ok(())
}

async fn end(api: &Api, id: &str) -> anyhow::Result<()> {
    let id = media::BroadcastId::parse(id)
        .with_context(|| format!("`{id}` cannot be a broadcast's id"))?;
    api.call(Method::DELETE, &format!("/api/v1/broadcasts/{id}"), None)
        .await?;
    println!("{id} has ended");
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

/// The API of the server on this machine.
struct Api {
    address: String,
    token: control::AdminToken,
}

impl Api {
    /// Finds the running server and its token through the data directory.
    fn find(data: &Path) -> anyhow::Result<Self> {
        let address = std::fs::read_to_string(data.join(ADDRESS_FILE)).with_context(|| {
            format!("no server that listens on plain HTTP is running with the data directory {}: start `nearcast serve`, or name its directory with --data", data.display())
        })?;
        let token = control::read_token(data).with_context(|| {
            format!(
                "the admin token in {} cannot be read: run this as the server's user",
                data.display()
            )
        })?;
        Ok(Self {
            address: address.trim().to_owned(),
            token,
        })
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One call; an error answer becomes its message.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let stream = tokio::net::TcpStream::connect(&self.address)
            .await
            .with_context(|| {
                format!(
                    "no server answers at {}: is `nearcast serve` still running?",
                    self.base()
                )
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .context("the server does not speak HTTP")?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.token.reveal()),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(
                body.map(Value::to_string).unwrap_or_default(),
            )))?;
        let response = sender
            .send_request(request)
            .await
            .context("the server broke off")?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?
            .to_bytes();
        driver.abort();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&bytes)
            .with_context(|| format!("the server answered {status} and no JSON"))?;
        anyhow::ensure!(
            status.is_success(),
            "{}",
            answer["error"]["message"]
                .as_str()
                .unwrap_or("the server refused")
        );
        Ok(answer)
    }
}
