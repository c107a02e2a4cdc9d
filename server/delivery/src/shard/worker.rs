//! The loop of one fan-out shard.
//!
//! In → Out: socket events and mail → sends. Work is done in small turns, groups and joiners alternating, so that neither a large
//! audience nor a crowd of joiners delays the chunk of another broadcast.
//! Spec: epoll(7), edge-triggered; design "Numbers to reach" (the origin's share).

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::sync::mpsc;

use super::viewer::{Outcome, Viewer};
use super::{Joiner, Limits, Mailbox, Message, Returned, Subscription};
use crate::connection::{FollowStart, follow_on};
use crate::growing::{Growing, State};
use crate::metrics::Metrics;

pub(super) struct Worker {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    limits: Limits,
    returned: mpsc::UnboundedSender<Returned>,
    metrics: Metrics,
    viewers: Slab<Viewer>,
    groups: Slab<Group>,
    /// Group by the address of its object, which the group keeps alive.
    by_object: HashMap<usize, usize>,
    /// Groups in the middle of a pass over their viewers.
    active: VecDeque<usize>,
    /// Viewers with a backlog: those that have just joined, those whose socket has drained.
    ready: VecDeque<usize>,
    mail: Vec<Message>,
    sweep_due: Instant,
    bytes: u64,
}

/// The viewers of one growing object.
struct Group {
    object: Arc<Growing>,
    subscription: Arc<Subscription>,
    viewers: Vec<usize>,
    /// The next viewer of the pass, and how many it still has to visit.
    cursor: usize,
    remaining: usize,
    active: bool,
    /// Chunks that were there when the pass began, and when the last one ended.
    chunks: usize,
    served: usize,
}

impl Group {
    /// The list has changed under a pass that counts places: look at all again, most are up to date. Otherwise one that
    /// joins could be visited in place of another, or one that moves into a gap be left out.
    fn start_over(&mut self) {
        if self.active {
            self.remaining = self.viewers.len();
        }
    }
}

impl Worker {
    pub(super) fn new(
        poll: Poll,
        mailbox: Arc<Mailbox>,
        limits: Limits,
        returned: mpsc::UnboundedSender<Returned>,
        metrics: Metrics,
    ) -> Self {
        Self {
            poll,
            mailbox,
            limits,
            returned,
            metrics,
            viewers: Slab::new(),
            groups: Slab::new(),
            by_object: HashMap::new(),
            active: VecDeque::new(),
            ready: VecDeque::new(),
            mail: Vec::new(),
            sweep_due: Instant::now() + SWEEP,
            bytes: 0,
        }
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.timeout())
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a fan-out shard cannot wait for its sockets");
                return;
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.handle_event(event);
            }
            if !self.handle_mail() {
                return;
            }
            self.work();
            self.sweep();
            self.metrics
                .bytes
                .increment(std::mem::take(&mut self.bytes));
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.active.is_empty() || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        (!self.viewers.is_empty()).then(|| self.sweep_due.saturating_duration_since(Instant::now()))
    }

    fn handle_event(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        if event.is_error() || event.is_write_closed() {
            return self.drop_viewer(key, "left");
        }
        if event.is_readable() && !viewer.receive(event.is_read_closed(), &self.limits) {
            return self.drop_viewer(key, "left");
        }
        if event.is_writable() && viewer.unblock() {
            return self.make_ready(key);
        }
        if viewer.is_parked() {
            self.next_request(key);
        }
    }

    /// `false` when the shard is to end.
    fn handle_mail(&mut self) -> bool {
        if !self.mailbox.has_mail() {
            return true;
        }
        let mut mail = std::mem::take(&mut self.mail);
        self.mailbox.take(&mut mail);
        for message in mail.drain(..) {
            match message {
                Message::Adopt(joiner) => self.adopt(*joiner),
                Message::Grew(key) => self.begin_pass(key),
                Message::Release => self.sweep_due = Instant::now(),
                Message::Stop => {
                    self.viewers.drain().for_each(Viewer::close);
                    return false;
                }
            }
        }
        self.mail = mail;
        true
    }

    fn adopt(&mut self, joiner: Joiner) {
        let mut socket = mio::net::TcpStream::from_std(joiner.socket);
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self
            .poll
            .registry()
            .register(&mut socket, Token(key), interest)
        {
            tracing::warn!(%error, "a viewer's socket cannot be watched");
            self.mailbox.viewers.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        entry.insert(Viewer::new(
            socket,
            joiner.ticket,
            joiner.pipelined,
            Instant::now(),
        ));
        self.join(key, joiner.start);
    }

    /// A viewer begins to follow an object.
    fn join(&mut self, key: usize, start: FollowStart) {
        let object = Arc::clone(start.follow.reader.object());
        let address = Arc::as_ptr(&object).addr();
        let group = match self.by_object.get(&address) {
            Some(&group) => group,
            None => self.add_group(address, object),
        };
        let viewer = &mut self.viewers[key];
        viewer.start(start, Instant::now());
        viewer.group = group;
        let group = &mut self.groups[group];
        viewer.slot = group.viewers.len();
        group.viewers.push(key);
        group.start_over();
        self.metrics.viewers.increment(1);
        self.make_ready(key);
    }

    fn add_group(&mut self, address: usize, object: Arc<Growing>) -> usize {
        let entry = self.groups.vacant_entry();
        let key = entry.key();
        let subscription = Arc::new(Subscription {
            mailbox: Arc::clone(&self.mailbox),
            group: key,
            pending: AtomicBool::new(false),
        });
        object.subscribe(Arc::clone(&subscription));
        entry.insert(Group {
            object,
            subscription,
            viewers: Vec::new(),
            cursor: 0,
            remaining: 0,
            active: false,
            chunks: 0,
            served: 0,
        });
        self.by_object.insert(address, key);
        key
    }

    fn make_ready(&mut self, key: usize) {
        let viewer = &mut self.viewers[key];
        if !viewer.queued {
            viewer.queued = true;
            self.ready.push_back(key);
        }
    }

    fn begin_pass(&mut self, key: usize) {
        // A message may come for a group that is gone, or for its place's next holder: a pass too many does no harm.
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        // An exchange, not a store: who found the flag set has its append seen by what follows here.
        group.subscription.pending.swap(false, Ordering::AcqRel);
        group.remaining = group.viewers.len();
        group.chunks = group.object.progress().chunks;
        if !group.active {
            group.active = true;
            self.active.push_back(key);
        }
    }

    /// Turns of groups and of viewers with a backlog, until nothing is left or there is mail.
    fn work(&mut self) {
        while !self.mailbox.has_mail() {
            let group = self.active.pop_front();
            if let Some(key) = group {
                self.turn(key);
            }
            for _ in 0..READY_TURN {
                let Some(key) = self.ready.pop_front() else {
                    break;
                };
                if let Some(viewer) = self.viewers.get_mut(key) {
                    viewer.queued = false;
                    self.push(key);
                }
            }
            if self.active.is_empty() && self.ready.is_empty() {
                return;
            }
        }
    }

    /// A part of a pass: the next few viewers of a group.
    fn turn(&mut self, key: usize) {
        for _ in 0..GROUP_TURN {
            let Some(group) = self.groups.get_mut(key) else {
                return;
            };
            if group.remaining == 0 {
                break;
            }
            if group.cursor >= group.viewers.len() {
                group.cursor = 0;
            }
            group.remaining -= 1;
            let Some(&viewer) = group.viewers.get(group.cursor) else {
                break;
            };
            group.cursor += 1;
            // One with a backlog is served in its own turn, one with a full socket when that has drained.
            if self
                .viewers
                .get(viewer)
                .is_some_and(|viewer| !viewer.queued && !viewer.is_blocked())
            {
                self.push(viewer);
            }
        }
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        if group.remaining > 0 && !group.viewers.is_empty() {
            self.active.push_back(key);
            return;
        }
        group.active = false;
        let newest = group
            .chunks
            .checked_sub(1)
            .filter(|_| group.chunks > group.served);
        if let Some(chunk) = newest.and_then(|last| group.object.chunk(last)) {
            self.metrics
                .fan_out
                .record(chunk.appended().elapsed().as_secs_f64());
        }
        group.served = group.chunks;
        if group.viewers.is_empty() {
            self.remove_group(key);
        }
    }

    fn push(&mut self, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        let Some(progress) = viewer.object().map(|object| object.progress()) else {
            return;
        };
        match viewer.push(progress, &mut self.bytes) {
            Outcome::Current | Outcome::Blocked => {}
            Outcome::More => self.make_ready(key),
            Outcome::Finished => self.finish(key),
            Outcome::Gone if progress.state == State::Aborted => self.drop_viewer(key, "aborted"),
            Outcome::Gone => self.drop_viewer(key, "left"),
        }
    }

    /// A viewer has all of its object: the connection waits here for the next one.
    fn finish(&mut self, key: usize) {
        self.leave(key);
        if self.viewers[key].park(Instant::now()) {
            self.next_request(key);
        } else {
            self.remove(key);
        }
    }

    /// Looks at what a viewer sent after its last answer: most ask for the next segment, and need no task for that.
    fn next_request(&mut self, key: usize) {
        let Some(viewer) = self.viewers.get_mut(key) else {
            return;
        };
        if viewer.pipelined.is_empty() {
            return;
        }
        match follow_on(
            &mut viewer.ticket,
            &mut viewer.pipelined,
            viewer.socket.as_fd(),
        ) {
            Some(start) => self.join(key, start),
            None => self.give_back(key),
        }
    }

    fn give_back(&mut self, key: usize) {
        let Some(mut viewer) = self.remove(key) else {
            return;
        };
        if self.poll.registry().deregister(&mut viewer.socket).is_err() {
            return;
        }
        let returned = Returned {
            socket: viewer.socket.into(),
            pipelined: viewer.pipelined,
            ticket: viewer.ticket,
        };
        // Nobody takes it while the server stops: then the connection just closes.
        let _ = self.returned.send(returned);
    }

    fn drop_viewer(&mut self, key: usize, reason: &'static str) {
        self.leave(key);
        if let Some(viewer) = self.remove(key) {
            if !viewer.is_parked() {
                self.metrics.cut(reason);
            }
            viewer.close();
        }
    }

    fn remove(&mut self, key: usize) -> Option<Viewer> {
        let viewer = self.viewers.try_remove(key)?;
        self.mailbox.viewers.fetch_sub(1, Ordering::Relaxed);
        Some(viewer)
    }

    /// Takes a viewer out of its group, if it is in one.
    fn leave(&mut self, key: usize) {
        let Some(viewer) = self.viewers.get(key).filter(|viewer| !viewer.is_parked()) else {
            return;
        };
        let (key, slot) = (viewer.group, viewer.slot);
        self.metrics.viewers.decrement(1);
        let group = &mut self.groups[key];
        group.viewers.swap_remove(slot);
        if let Some(&moved) = group.viewers.get(slot) {
            self.viewers[moved].slot = slot;
        }
        group.start_over();
        if group.viewers.is_empty() && !group.active {
            self.remove_group(key);
        }
    }

    fn remove_group(&mut self, key: usize) {
        let group = self.groups.remove(key);
        group.object.unsubscribe(&group.subscription);
        self.by_object.remove(&Arc::as_ptr(&group.object).addr());
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        if now < self.sweep_due {
            return;
        }
        self.sweep_due = now + SWEEP;
        let limits = &self.limits;
        let overdue: Vec<_> = self
            .viewers
            .iter()
            .filter_map(|(key, viewer)| Some((key, viewer.overdue(now, limits)?)))
            .collect();
        for (key, reason) in overdue {
            self.drop_viewer(key, reason);
        }
    }
}

/// The waker's token; a slab key cannot reach it.
pub(super) const WAKE: Token = Token(usize::MAX);

/// How often slow viewers are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Viewers of one group served before another group has its turn: about a third of a millisecond.
const GROUP_TURN: usize = 64;

/// Viewers with a backlog served between two turns of groups.
const READY_TURN: usize = 4;
