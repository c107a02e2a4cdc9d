//! Interaction segments on disk: they are the replay of the chat, and where a room goes on after a restart.
//!
//! In → Out: lines, redactions, audit lines over a bounded queue → files below `DATA/ix/{broadcast}/`, written by one thread.
//! A slow or full disk costs lines of the replay, counted, and never holds a room up. What is older than the operator keeps
//! it goes, looked for once an hour.
//! Spec: docs/ix.md, "Moderation" (a deleted comment is taken out of what is stored); cases IX-10, IX-16, REC-02.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use media::{BroadcastId, Epoch, Msn, SegmentId};
use room::wire::{self, Line, Pin};
use room::{CommentId, Marked, Snapshot};

/// Jobs that wait for the disk; more are dropped and counted.
const JOBS_MAX: usize = 4_096;
/// Who moderates, is blocked or approved; beside the segments, which viewers may read.
const MARKS: &str = "marks.json";
const AUDIT: &str = "audit.log";
/// How often old files are looked for.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

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
    /// Files that nobody has written to for `keep` are deleted.
    pub(crate) fn spawn_store(
        root: PathBuf,
        keep: Option<Duration>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        fs::create_dir_all(&root)?;
        let (jobs, inbox) = mpsc::sync_channel(JOBS_MAX);
        let folder = root.clone();
        let thread = std::thread::Builder::new()
            .name("ix-store".into())
            .spawn(move || write(&folder, keep, &inbox))?;
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

/// Does what comes, and sweeps at the start and once an hour, until nobody can send any more.
fn write(root: &Path, keep: Option<Duration>, jobs: &Receiver<Job>) {
    let mut sweep_at = keep.map(|_| Instant::now());
    loop {
        let wait = sweep_at.map_or(SWEEP_EVERY, |at| {
            at.saturating_duration_since(Instant::now())
        });
        let done = match jobs.recv_timeout(wait) {
            Ok(job) => run(root, &job),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let swept = match keep.zip(sweep_at) {
            Some((keep, at)) if at <= Instant::now() => {
                sweep_at = Some(Instant::now() + SWEEP_EVERY);
                sweep(root, keep, SystemTime::now())
            }
            _ => Ok(()),
        };
        for error in [done, swept].into_iter().filter_map(Result::err) {
            metrics::counter!("nearcast_room_store_errors_total").increment(1);
            tracing::warn!(%error, "interaction segments cannot be written");
        }
    }
}

/// Deletes what nobody has written to for `keep`. A room's log and marks go with its last segment: as long as there is one
/// they may still be wanted.
fn sweep(root: &Path, keep: Duration, now: SystemTime) -> io::Result<()> {
    let is_old = |path: &Path| -> io::Result<bool> {
        let age = now.duration_since(fs::metadata(path)?.modified()?);
        Ok(age.is_ok_and(|age| age > keep))
    };
    for room in fs::read_dir(root)? {
        let room = room?.path();
        if !room.is_dir() {
            continue;
        }
        let mut left = 0;
        for (_, path) in segments(&room)? {
            if is_old(&path)? {
                fs::remove_file(path)?;
            } else {
                left += 1;
            }
        }
        for path in [AUDIT, MARKS].map(|name| room.join(name)) {
            if left == 0 && path.exists() && is_old(&path)? {
                fs::remove_file(path)?;
            }
        }
        if left == 0 && fs::read_dir(&room)?.next().is_none() {
            fs::remove_dir(&room)?;
        }
    }
    Ok(())
}

fn run(root: &Path, job: &Job) -> io::Result<()> {
    match job {
        Job::Append(room, id, lines) => {
            open(&root.join(room.as_str()), &format!("{id}.jsonl"))?.write_all(lines)
        }
        Job::Audit(room, line) => writeln!(open(&root.join(room.as_str()), AUDIT)?, "{line}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// A folder with files of these ages in days.
    fn folder(name: &str, files: &[(&str, u32)]) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("nearcast-sweep-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, days) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - DAY * *days).unwrap();
        }
        root
    }

    #[test]
    fn segments_go_when_they_are_older_than_they_are_kept_and_the_log_with_the_last() {
        let root = folder(
            "ages",
            &[
                ("past/1.4.jsonl", 40),
                ("past/audit.log", 40),
                ("past/marks.json", 40),
                ("show/1.8.jsonl", 31),
                ("show/2.9.jsonl", 29),
                ("show/audit.log", 40),
                ("other/notes.txt", 40),
            ],
        );
        sweep(&root, DAY * 30, SystemTime::now()).unwrap();
        let there = |path: &str| root.join(path).exists();
        assert!(!there("past"), "nothing of it was left");
        assert!(!there("show/1.8.jsonl") && there("show/2.9.jsonl") && there("show/audit.log"));
        assert!(there("other/notes.txt"), "what is not ours stays");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_store_sweeps_when_it_starts_and_one_that_keeps_for_ever_does_not() {
        for (keep, stays) in [(Some(DAY), false), (None, true)] {
            let root = folder("start", &[("past/1.4.jsonl", 2)]);
            let (store, thread) = Store::spawn_store(root.clone(), keep).unwrap();
            // What is queued is done before the thread ends, and the sweep with it.
            store.audit(&BroadcastId::parse("show").unwrap(), "{}".to_owned());
            drop(store);
            thread.join().unwrap();
            assert_eq!(root.join("past/1.4.jsonl").exists(), stays);
            fs::remove_dir_all(root).unwrap();
        }
    }
}
