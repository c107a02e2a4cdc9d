//! Thousands of light viewers on a few threads.
//!
//! In → Out: a course and how many viewers → their sums; a few among them read stamps.
//! The many are not woken for each chunk: their sockets are read in turns, each every tenth of a second, so that the
//! clients cost little beside the server under test. The few that read stamps are woken at once.
//! Spec: none; our own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use testkit::viewer::Times;

use crate::clock::Clock;
use crate::light::{Course, Guide, Light, LightSums, Watch};
use crate::probe::Stamps;
use crate::room::beats::{Beats, Marks};

/// Each of the many is read this often.
const ROUND: Duration = Duration::from_millis(100);
/// A round is done in so many steps, so that no step keeps a processor from others for long.
const STEPS: usize = 50;
/// Viewers on one source address: two connections each, and an address has about 28,000 ports.
const VIEWERS_PER_ADDRESS: usize = 10_000;

/// What a swarm does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// `Host` header.
    pub authority: String,
    /// What is followed.
    pub course: Course,
    /// New viewers a second.
    pub ramp: u32,
    /// One in so many viewers reads stamps; 0: none.
    pub probe_every: usize,
    /// What those viewers look for.
    pub probing: Probing,
    /// Of the segments followed; spreads requests over it.
    pub segment: Duration,
}

/// What viewers that are woken at once look for.
#[derive(Clone, Debug, Default)]
pub enum Probing {
    /// Stamps in pictures.
    #[default]
    Stamps,
    /// Marked taps in beats.
    Beats(Arc<Marks>),
}

/// One of those viewers' eyes.
enum Probe {
    Stamps(Stamps),
    Beats(Beats),
}

impl Probe {
    fn new(probing: &Probing, clock: Clock) -> Self {
        match probing {
            Probing::Stamps => Self::Stamps(Stamps::new(clock)),
            Probing::Beats(marks) => Self::Beats(Beats::new(clock, Arc::clone(marks))),
        }
    }

    fn lateness(&mut self) -> &mut Times {
        match self {
            Self::Stamps(stamps) => &mut stamps.lateness,
            Self::Beats(beats) => &mut beats.lateness,
        }
    }
}

impl Watch for Probe {
    fn head(&mut self) {
        match self {
            Self::Stamps(stamps) => stamps.head(),
            Self::Beats(beats) => beats.head(),
        }
    }

    fn body(&mut self, lane: usize, bytes: &[u8]) {
        match self {
            Self::Stamps(stamps) => stamps.body(lane, bytes),
            Self::Beats(beats) => beats.body(lane, bytes),
        }
    }
}

/// Running viewers.
pub struct Swarm {
    shared: Arc<Shared>,
    many: Option<JoinHandle<()>>,
    few: Option<JoinHandle<()>>,
}

struct Shared {
    plan: Plan,
    guide: Arc<Guide>,
    clock: Clock,
    wanted: AtomicUsize,
    connected: AtomicUsize,
    stop: AtomicBool,
    sums: Mutex<LightSums>,
    lateness: Mutex<Times>,
    errors: Mutex<Vec<String>>,
    probes: tokio::sync::mpsc::UnboundedSender<usize>,
}

/// What a swarm saw since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of all viewers.
    pub sums: LightSums,
    /// Of those that read stamps.
    pub lateness: Times,
}

impl Swarm {
    /// Starts with no viewers; the guide tells them where to join.
    pub fn spawn(plan: Plan, guide: Arc<Guide>, clock: Clock) -> io::Result<Self> {
        let (probes, queue) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            plan,
            guide,
            clock,
            wanted: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sums: Mutex::default(),
            lateness: Mutex::default(),
            errors: Mutex::default(),
            probes,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let few = Arc::clone(&shared);
        let few = std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || runtime.block_on(run_few(few, queue)))?;
        let many = Arc::clone(&shared);
        let many = std::thread::Builder::new()
            .name("viewers".to_owned())
            .spawn(move || run_many(&many))?;
        Ok(Self {
            shared,
            many: Some(many),
            few: Some(few),
        })
    }

    /// Grows to this many viewers, at the ramp's pace.
    pub fn grow(&self, viewers: usize) {
        self.shared.wanted.fetch_max(viewers, Ordering::Relaxed);
    }

    /// Viewers that were started.
    pub fn connected(&self) -> usize {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// What was seen since the last call.
    pub fn take(&self) -> Seen {
        Seen {
            sums: std::mem::take(&mut *lock(&self.shared.sums)),
            lateness: std::mem::take(&mut *lock(&self.shared.lateness)),
        }
    }

    /// The first connection errors since the last call.
    pub fn take_errors(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.shared.errors))
    }

    /// Closes all connections.
    pub fn stop(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in [self.many.take(), self.few.take()].into_iter().flatten() {
            // A panic in there has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn note(&self, error: &io::Error) {
        const KEPT: usize = 20;
        let mut errors = lock(&self.errors);
        if errors.len() < KEPT {
            errors.push(error.to_string());
        }
    }

    fn light(&self, number: usize, now: Instant) -> Light {
        // Between a quarter and three quarters of a segment, evenly over viewers.
        let share = u32::try_from(number * 61 % 100).unwrap_or(0);
        let ahead = self.plan.segment / 4 + self.plan.segment / 200 * share;
        Light::new(ahead, now)
    }

    fn connect(&self, number: usize) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(self.plan.address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        if self.plan.address.ip().is_loopback() && self.plan.address.is_ipv4() {
            let last = u8::try_from(number / VIEWERS_PER_ADDRESS % 250 + 1).unwrap_or(1);
            let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0);
            socket.bind(&from.into())?;
        }
        match socket.connect(&self.plan.address.into()) {
            // A connection under way; writing will tell.
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            other => other?,
        }
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }

    fn request(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: nearcast-loadgen\r\n\r\n",
            self.plan.authority
        )
    }
}

/// One of the many.
struct Member {
    number: usize,
    light: Light,
    sockets: [Option<TcpStream>; 2],
    /// A request that the connection under way does not take yet.
    unsent: Option<(usize, String)>,
}

fn run_many(shared: &Shared) {
    let mut members: Vec<Member> = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut step = 0;
    let mut started = 0;
    let begin = Instant::now();
    let mut credit = 0.0;
    let mut last = begin;
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        credit = (credit + now.duration_since(last).as_secs_f64() * f64::from(shared.plan.ramp))
            .min(200.0);
        last = now;
        while credit >= 1.0 && started < shared.wanted.load(Ordering::Relaxed) {
            credit -= 1.0;
            if shared.plan.probe_every > 0 && started % shared.plan.probe_every == 0 {
                // The other thread lives as long as this one.
                let _ = shared.probes.send(started);
            } else {
                members.push(Member {
                    number: started,
                    light: shared.light(started, now),
                    sockets: [None, None],
                    unsent: None,
                });
            }
            started += 1;
            shared.connected.store(started, Ordering::Relaxed);
        }
        let mut sums = LightSums::default();
        for member in members.iter_mut().skip(step).step_by(STEPS) {
            member.turn(shared, &mut buffer, now);
            sums.add(&std::mem::take(&mut member.light.sums));
        }
        lock(&shared.sums).add(&sums);
        step = (step + 1) % STEPS;
        let used = now.elapsed();
        std::thread::sleep((ROUND / u32::try_from(STEPS).unwrap_or(1)).saturating_sub(used));
    }
}

impl Member {
    fn turn(&mut self, shared: &Shared, buffer: &mut [u8], now: Instant) {
        for lane in 0..2 {
            self.read(lane, buffer, now);
        }
        self.light.handle_time(now);
        if self.unsent.is_none() {
            let wish = self.light.wish(&shared.plan.course, &shared.guide, now);
            self.unsent = wish.map(|(lane, path)| (lane, shared.request(&path)));
        }
        if let Some((lane, request)) = self.unsent.take() {
            match self.send(shared, lane, &request) {
                Ok(true) => {}
                Ok(false) => self.unsent = Some((lane, request)),
                Err(error) => {
                    shared.note(&error);
                    self.sockets[lane] = None;
                    self.light.handle_close(lane, now);
                }
            }
        }
    }

    /// `Ok(false)` if the connection is not there yet.
    fn send(&mut self, shared: &Shared, lane: usize, request: &str) -> io::Result<bool> {
        if self.sockets[lane].is_none() {
            self.sockets[lane] = Some(shared.connect(self.number)?.into());
        }
        let Some(socket) = &mut self.sockets[lane] else {
            return Ok(false);
        };
        match socket.write(request.as_bytes()) {
            Ok(count) if count == request.len() => Ok(true),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, lane: usize, buffer: &mut [u8], now: Instant) {
        while let Some(socket) = &mut self.sockets[lane] {
            match socket.read(buffer) {
                Ok(0) => {}
                Ok(count) => {
                    let more = count == buffer.len();
                    if self
                        .light
                        .handle_bytes(lane, &buffer[..count], &mut (), now)
                        .is_ok()
                    {
                        if more {
                            continue;
                        }
                        return;
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(_) => {}
            }
            self.sockets[lane] = None;
            self.light.handle_close(lane, now);
        }
    }
}

async fn run_few(shared: Arc<Shared>, mut queue: tokio::sync::mpsc::UnboundedReceiver<usize>) {
    let mut tasks = tokio::task::JoinSet::new();
    let mut tick = tokio::time::interval(ROUND);
    while !shared.stop.load(Ordering::Relaxed) {
        tokio::select! {
            Some(number) = queue.recv() => {
                tasks.spawn(run_probe(Arc::clone(&shared), number));
            }
            _ = tick.tick() => {}
        }
    }
    tasks.shutdown().await;
}

async fn run_probe(shared: Arc<Shared>, number: usize) {
    let mut light = shared.light(number, Instant::now());
    let mut probe = Probe::new(&shared.plan.probing, shared.clock);
    let mut sockets: [Option<tokio::net::TcpStream>; 2] = [None, None];
    let mut buffer = vec![0; 64 << 10];
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let now = Instant::now();
        light.handle_time(now);
        if let Some((lane, path)) = light.wish(&shared.plan.course, &shared.guide, now)
            && let Err(error) = probe_send(&shared, &mut sockets[lane], number, &path).await
        {
            shared.note(&error);
            sockets[lane] = None;
            light.handle_close(lane, now);
        }
        let [first, second] = &mut sockets;
        tokio::select! {
            () = readable(first.as_ref()) => probe_read(first, 0, &mut light, &mut probe, &mut buffer),
            () = readable(second.as_ref()) => probe_read(second, 1, &mut light, &mut probe, &mut buffer),
            _ = tick.tick() => {
                lock(&shared.sums).add(&std::mem::take(&mut light.sums));
                lock(&shared.lateness).add(probe.lateness());
                probe.lateness().clear();
            }
        }
    }
}

async fn readable(socket: Option<&tokio::net::TcpStream>) {
    match socket {
        // An error is found again by reading.
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}

async fn probe_send(
    shared: &Shared,
    socket: &mut Option<tokio::net::TcpStream>,
    number: usize,
    path: &str,
) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    if socket.is_none() {
        let open = tokio::net::TcpStream::from_std(shared.connect(number)?.into())?;
        open.writable().await?;
        *socket = Some(open);
    }
    match socket {
        Some(socket) => socket.write_all(shared.request(path).as_bytes()).await,
        None => Ok(()),
    }
}

fn probe_read(
    socket: &mut Option<tokio::net::TcpStream>,
    lane: usize,
    light: &mut Light,
    probe: &mut Probe,
    buffer: &mut [u8],
) {
    let Some(open) = socket else { return };
    let now = Instant::now();
    match open.try_read(buffer) {
        Ok(0) => {}
        Ok(count) => {
            if light
                .handle_bytes(lane, &buffer[..count], probe, now)
                .is_ok()
            {
                return;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
        Err(_) => {}
    }
    *socket = None;
    light.handle_close(lane, now);
}
