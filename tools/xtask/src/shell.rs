//! Running other programs: with their output on the terminal, or kept in a log with a sign of life while they run.
//!
//! In → Out: a command → its status, its lines, how long it took.
//! Every child has a process group of its own, so that a Ctrl-C reaches us first and we stop them in order, and so that
//! nothing a child started outlives it.
//!
//! Spec: none.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a command that keeps its output to itself says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(20);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// From here on Ctrl-C, a hang-up and SIGTERM set a flag instead of ending this process. A second one ends it.
pub(crate) fn catch_signals() -> Result<()> {
    let flag = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(())
}

/// Has somebody asked us to stop?
pub(crate) fn interrupted() -> bool {
    INTERRUPTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The cargo that started us, so that its toolchain is kept.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs with the terminal as output; an unsuccessful status is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = display(command);
    println!("$ {shown}");
    let mut child = Running::spawn(command.stdin(Stdio::null()))?;
    let status = child.wait()?;
    if interrupted() {
        bail!("stopped");
    }
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// What a logged command left behind.
pub(crate) struct Logged {
    /// How it ended; `None` if it had to be stopped at its time limit.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error, in the order of arrival.
    pub lines: Vec<String>,
    /// Where the same lines are on disk.
    pub log: PathBuf,
    /// Wall time.
    pub elapsed: Duration,
}

impl Logged {
    /// Did it end by itself, with status zero?
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The last lines, for a person who wants to know what went wrong.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let from = self.lines.len().saturating_sub(lines);
        self.lines[from..].join("\n")
    }
}

/// Runs with the output kept in `target/xtask/<name>.log`; the terminal sees a line each [`HEARTBEAT`].
pub(crate) fn run_logged(name: &str, command: &mut Command, limit: Duration) -> Result<Logged> {
    let directory = root().join("target/xtask");
    fs::create_dir_all(&directory)?;
    let log = directory.join(format!("{name}.log"));
    let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    writeln!(file, "$ {}", display(command))?;
    let started = Instant::now();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running::spawn(command)?;
    let (sender, receiver) = mpsc::sync_channel::<String>(1024);
    if let Some(stdout) = running.child.stdout.take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = running.child.stderr.take() {
        forward(stderr, sender);
    }

    let mut lines = Vec::new();
    let mut beat = started;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                writeln!(file, "{line}")?;
                lines.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if beat.elapsed() > HEARTBEAT {
            beat = Instant::now();
            let last = lines.last().map_or("", String::as_str);
            println!(
                "      … {name} {:>4} s  {}",
                started.elapsed().as_secs(),
                shorten(last, 90)
            );
        }
        if started.elapsed() > limit || interrupted() {
            break;
        }
        // A grandchild that was left behind may hold the pipe open for ever: two seconds of grace after the end.
        match ended {
            None => {
                ended = running
                    .child
                    .try_wait()?
                    .map(|status| (status, Instant::now()));
            }
            Some((_, at)) if at.elapsed() > Duration::from_secs(2) => break,
            Some(_) => {}
        }
    }
    let status = if started.elapsed() > limit || interrupted() {
        lines.push(format!("stopped after {} s", started.elapsed().as_secs()));
        None
    } else {
        Some(running.wait()?)
    };
    drop(running);
    Ok(Logged {
        status,
        lines,
        log,
        elapsed: started.elapsed(),
    })
}

fn forward(source: impl Read + Send + 'static, sender: mpsc::SyncSender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// A child with a process group of its own; dropping it ends the whole group.
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts `command`; an error says which program is missing.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// The status if it has ended.
    pub(crate) fn poll(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end; an interrupt stops the child.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if interrupted() {
                self.stop(Duration::from_secs(5));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and after `patience` makes it.
    pub(crate) fn stop(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < patience {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} does not end by itself; killing it", self.name);
        self.signal(Signal::KILL);
        let _ended = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The group may be gone already, which is what we want.
            let _gone = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ended = self.child.wait();
    }
}

/// The command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let mut words = vec![base_name(command)];
    words.extend(command.get_args().map(|argument| {
        let word = argument.to_string_lossy();
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word.into_owned()
        }
    }));
    words.join(" ")
}

fn base_name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}

/// At most `width` characters of the line, without control characters.
pub(crate) fn shorten(line: &str, width: usize) -> String {
    line.chars()
        .filter(|c| !c.is_control())
        .take(width)
        .collect()
}

/// Where a program is, if it is anywhere that a package would put it.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}
