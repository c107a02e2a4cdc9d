//! Starts the servers under test as child processes, and stops them.
//!
//! In → Out: a binary and settings → a running server with its addresses; its log goes to a file.
//! Spec: none; our own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process;

/// How long a server may take to be ready.
const START_BUDGET: Duration = Duration::from_secs(20);

/// A child process that is killed when it is dropped.
pub struct Running {
    child: Child,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it takes RTMP; unused by others than `nearcast`.
    pub rtmp: SocketAddr,
    folder: PathBuf,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, with its log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// `nearcast serve --dev` on free ports of the loopback, with settings as environment variables.
pub fn nearcast(
    binary: &Path,
    settings: &[(&str, &str)],
    processors: &[usize],
) -> anyhow::Result<Running> {
    let folder = scratch("nearcast")?;
    let (http, rtmp) = (free_address()?, free_address()?);
    let mut command = Command::new(binary);
    command
        .arg("serve")
        .arg("--dev")
        .arg("--http")
        .arg(http.to_string())
        .arg("--rtmp")
        .arg(rtmp.to_string());
    command
        .arg("--data")
        .arg(folder.join("data"))
        .envs(settings.iter().copied());
    start(command, http, rtmp, folder, processors)
}

/// The floor, from this very binary.
pub fn floor(chunk: usize, interval: Duration, processors: &[usize]) -> anyhow::Result<Running> {
    let folder = scratch("floor")?;
    let http = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor").arg("--listen").arg(http.to_string());
    command
        .arg("--chunk")
        .arg(chunk.to_string())
        .arg("--interval-us")
        .arg(interval.as_micros().to_string());
    start(command, http, http, folder, processors)
}

/// nginx with `count` files of `length` bytes below `/files/`.
pub fn nginx(count: u64, length: usize, processors: &[usize]) -> anyhow::Result<Running> {
    let folder = scratch("nginx")?;
    let http = free_address()?;
    let files = folder.join("files");
    std::fs::create_dir_all(&files)?;
    for number in 0..count {
        std::fs::write(files.join(number.to_string()), vec![0xFF; length])?;
    }
    let root = folder.display();
    let text = format!(
        "daemon off;\nmaster_process off;\nworker_rlimit_nofile 20000;\npid {root}/pid;\nerror_log {root}/error.log warn;\n\
         events {{ worker_connections 19000; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000; open_file_cache max=100;\n\
         client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
         server {{ listen {http} backlog=4096; root {root}; }} }}\n"
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(&folder)
        .arg("-c")
        .arg(&config)
        .arg("-e")
        .arg(folder.join("error.log"));
    start(command, http, http, folder, processors)
}

fn start(
    mut command: Command,
    http: SocketAddr,
    rtmp: SocketAddr,
    folder: PathBuf,
    processors: &[usize],
) -> anyhow::Result<Running> {
    let log = std::fs::File::create(folder.join("log"))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let own = process::processors();
    process::bind(processors)?;
    let child = command.spawn();
    process::bind(&own)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut running = Running {
        child: child.with_context(|| format!("{program} cannot be started"))?,
        http,
        rtmp,
        folder,
    };
    let deadline = Instant::now() + START_BUDGET;
    while std::net::TcpStream::connect(http).is_err() {
        if running.child.try_wait()?.is_some() || Instant::now() > deadline {
            let log = std::fs::read_to_string(running.folder.join("log")).unwrap_or_default();
            bail!("{program} did not start:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

fn scratch(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!(
        "nearcast-bench-{name}-{}-{}",
        std::process::id(),
        free_address()?.port()
    ));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A port that nobody listens on at this moment.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
