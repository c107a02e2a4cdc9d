//! Interaction segments on disk: they are the replay of the chat, and where a room goes on after a restart.
//!
//! In → Out: lines, redactions, audit lines over a bounded queue → files below `DATA/ix/{broadcast}/`, written by one thread.
//! A slow or full disk costs lines of the replay, counted, and never holds a room up.
//! Spec: docs/ix.md, "Moderation" (a deleted comment is taken out of what is stored); cases IX-10, IX-16, REC-02.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;

use media::{BroadcastId, Epoch, Msn, SegmentId};
use room::wire::{self, Line, Pin};
use room::{CommentId, Marked, Snapshot};

/// Jobs that wait for the disk; more are dropped and counted.
const JOBS_MAX: usize = 4_096;
/// Who moderates, is blocked or approved; beside the segments, which viewers may read.
const MARKS: &str = "marks.json";

enum Job {
    Append(BroadcastId, SegmentId, Vec<u8>),
    Audit(BroadcastId, String),
    Mark(BroadcastId, Vec<u8>),
    Redact(BroadcastId, SegmentId, CommentId),
}

/// Where rooms leave their lines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    root: PathBuf,
    jobs: SyncSender<Job>,
}

impl Store {
    /// Starts the writing thread, which ends when all clones of the store are dropped.
    pub(crate) fn spawn_store(root: PathBuf) -> io::Result<(Self, JoinHandle<()>)> {
        fs::create_dir_all(&root)?;
        let (jobs, inbox) = mpsc::sync_channel(JOBS_MAX);
        let folder = root.clone();
        let thread = std::thread::Builder::new()
            .name("ix-store".into())
            .spawn(move || {
                for job in inbox {
                    if let Err(error) = run(&folder, &job) {
                        metrics::counter!("nearcast_room_store_errors_total").increment(1);
                        tracing::warn!(%error, "interaction segments cannot be written");
                    }
                }
            })?;
        Ok((Self { root, jobs }, thread))
    }

    /// Adds lines to a segment.
    pub(crate) fn append(&self, room: &BroadcastId, id: SegmentId, lines: &[u8]) {
        self.send(Job::Append(room.clone(), id, lines.to_vec()));
    }

    /// Adds a line to the audit log.
    pub(crate) fn audit(&self, room: &BroadcastId, line: String) {
        self.send(Job::Audit(room.clone(), line));
    }

    /// Replaces the marks of a room.
    pub(crate) fn mark(&self, room: &BroadcastId, text: Vec<u8>) {
        self.send(Job::Mark(room.clone(), text));
    }

    /// The marks of a room when it was last written. Reads the disk.
    pub(crate) fn marked(&self, room: &BroadcastId) -> Option<Marked> {
        let path = self.root.join(room.as_str()).join(MARKS);
        wire::parse_marked(&fs::read(path).ok()?)
    }

    /// Takes a comment out of this segment and all later ones.
    pub(crate) fn redact(&self, room: &BroadcastId, from: SegmentId, comment: CommentId) {
        self.send(Job::Redact(room.clone(), from, comment));
    }

    /// Where a room stood when it was last written. Reads the disk.
    pub(crate) fn last(&self, room: &BroadcastId) -> Option<Snapshot> {
        let folder = self.root.join(room.as_str());
        let (_, path) = segments(&folder).ok()?.pop()?;
        wire::replay(&fs::read(path).ok()?)
    }

    fn send(&self, job: Job) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.jobs.try_send(job)
        {
            metrics::counter!("nearcast_room_store_dropped_total").increment(1);
        }
    }
}

fn run(root: &Path, job: &Job) -> io::Result<()> {
    match job {
        Job::Append(room, id, lines) => {
            open(&root.join(room.as_str()), &format!("{id}.jsonl"))?.write_all(lines)
        }
        Job::Audit(room, line) => writeln!(open(&root.join(room.as_str()), "audit.log")?, "{line}"),
        Job::Mark(room, text) => {
            let folder = root.join(room.as_str());
            fs::create_dir_all(&folder)?;
            replace(&folder.join(MARKS), text)
        }
        Job::Redact(room, from, comment) => {
            for (id, path) in segments(&root.join(room.as_str()))? {
                if id.msn >= from.msn {
                    redact(&path, *comment)?;
                }
            }
            Ok(())
        }
    }
}

fn open(folder: &Path, name: &str) -> io::Result<File> {
    let path = folder.join(name);
    let append = || OpenOptions::new().append(true).create(true).open(&path);
    match append() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            append()
        }
        other => other,
    }
}

/// The segments of a room, oldest first.
fn segments(folder: &Path) -> io::Result<Vec<(SegmentId, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".jsonl"));
        let Some((epoch, msn)) = name.and_then(|name| name.split_once('.')) else {
            continue;
        };
        if let (Ok(epoch), Ok(msn)) = (epoch.parse(), msn.parse()) {
            found.push((
                SegmentId {
                    epoch: Epoch(epoch),
                    msn: Msn(msn),
                },
                path,
            ));
        }
    }
    found.sort_by_key(|(id, _)| (id.msn, id.epoch));
    Ok(found)
}

/// Rewrites a file without a comment.
fn redact(path: &Path, comment: CommentId) -> io::Result<()> {
    let text = fs::read(path)?;
    let id = comment.to_string();
    if !String::from_utf8_lossy(&text).contains(&id) {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match wire::parse_line(line) {
            Ok(parsed) => {
                serde_json::to_writer(&mut kept, &without(parsed, &id))?;
                kept.push(b'\n');
            }
            Err(_) => kept.extend_from_slice(line),
        }
    }
    replace(path, &kept)
}

/// A reader sees the old file or the new one, whole.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(fresh, path)
}

fn without(line: Line, id: &str) -> Line {
    match line {
        Line::Snapshot(mut snapshot) => {
            snapshot.last.retain(|comment| comment.id != id);
            snapshot.pin = snapshot.pin.filter(|comment| comment.id != id);
            snapshot.juries.retain(|jury| jury.comment.id != id);
            Line::Snapshot(snapshot)
        }
        Line::Beat(mut beat) => {
            beat.comments.retain(|comment| comment.id != id);
            beat.juries.retain(|jury| jury.comment.id != id);
            if matches!(&beat.pin, Some(Pin::Comment(comment)) if comment.id == id) {
                beat.pin = None;
            }
            Line::Beat(beat)
        }
    }
}
