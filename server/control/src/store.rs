//! What outlives the process: broadcasts with their keys' hashes, how far numbers have run, the admin token's hash.
//!
//! In → Out: SQLite in WAL mode; one connection writes, a few read. Every call is one transaction.
//! The file is `nearcast.db` in the data directory; migrations run when it is opened.
//! Spec: none; our own. The tables are in `migrations/`.

use std::path::Path;
use std::time::Duration;

use media::{BroadcastId, Epoch, Msn, UnixTime};
use origin::{Note, Start};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _};

use crate::secret::Hash;

/// Why the store cannot answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database file or its directory.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A migration could not be applied, or the file is from a newer version.
    #[error("the database could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A broadcast of this id exists.
    #[error("a broadcast of this id exists")]
    Exists,
}

/// A broadcast that was created with a stream key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: BroadcastId,
    /// What viewers read above it: 1–200 characters.
    pub(crate) title: String,
    /// When it was created.
    pub(crate) created: UnixTime,
    /// When the operator ended it for good; its key opens nothing from then on.
    pub(crate) ended: Option<UnixTime>,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
}

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Numbers may be forgotten when no cache may hold an object with them: immutable objects live one year there.
const POSITIONS_KEPT: Duration = Duration::from_hours(400 * 24);
const MIGRATIONS: [(i64, &str, &str); 1] = [(
    1,
    "broadcasts",
    include_str!("../migrations/0001_broadcasts.sql"),
)];

impl Store {
    /// Opens or creates `nearcast.db` in a directory that exists, and brings it up to date.
    pub(crate) async fn open(directory: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(directory.join("nearcast.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a power cut loses the last transactions at worst; a torn database is impossible.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        migrator().run(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self { writer, reader })
    }

    /// Writes what is pending and closes the file.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// The stored hash of the admin token, if one was ever made.
    pub(crate) async fn admin_hash(&self) -> Result<Option<Hash>, StoreError> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = 'admin_token'")
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.and_then(|row| Hash::from_bytes(row.get(0))))
    }

    /// Replaces the hash of the admin token.
    pub(crate) async fn save_admin_hash(&self, hash: &Hash) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO settings (name, value) VALUES ('admin_token', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(hash.as_bytes())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Adds a broadcast with its key. [`StoreError::Exists`] if the id is taken, also by one that has ended.
    pub(crate) async fn create(
        &self,
        record: &Record,
        key_name: &str,
        key_hash: &Hash,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("INSERT INTO broadcasts (id, title, key_name, key_hash, created_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
            .bind(record.id.as_str())
            .bind(&record.title)
            .bind(key_name)
            .bind(key_hash.as_bytes())
            .bind(millis(record.created))
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            Err(StoreError::Exists)
        } else {
            Ok(())
        }
    }

    /// Marks a broadcast as ended for good. Whether there was one that had not ended yet.
    pub(crate) async fn end(&self, id: &BroadcastId, now: UnixTime) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE broadcasts SET ended_ms = ? WHERE id = ? AND ended_ms IS NULL")
                .bind(millis(now))
                .bind(id.as_str())
                .execute(&self.writer)
                .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The broadcast of this id.
    pub(crate) async fn broadcast(&self, id: &BroadcastId) -> Result<Option<Record>, StoreError> {
        let row =
            sqlx::query("SELECT id, title, created_ms, ended_ms FROM broadcasts WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(&self.reader)
                .await?;
        Ok(row.as_ref().and_then(record))
    }

    /// The broadcast that a key's name belongs to, with the hash that its secret must match.
    pub(crate) async fn broadcast_of_key(
        &self,
        key_name: &str,
    ) -> Result<Option<(Record, Hash)>, StoreError> {
        let row = sqlx::query(
            "SELECT id, title, created_ms, ended_ms, key_hash FROM broadcasts WHERE key_name = ?",
        )
        .bind(key_name)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.and_then(|row| Some((record(&row)?, Hash::from_bytes(row.get(4))?))))
    }

    /// All broadcasts that have not ended, newest first, at most `count`.
    pub(crate) async fn open_broadcasts(&self, count: u32) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query("SELECT id, title, created_ms, ended_ms FROM broadcasts WHERE ended_ms IS NULL ORDER BY created_ms DESC, id LIMIT ?")
            .bind(count)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.iter().filter_map(record).collect())
    }

    /// Where the numbers of a broadcast go on: beyond everything that any earlier process may have announced.
    pub(crate) async fn position(
        &self,
        id: &BroadcastId,
        now: UnixTime,
    ) -> Result<Start, StoreError> {
        let row = sqlx::query(
            "SELECT epoch, msn, saved_ms, settled, discontinuities FROM positions WHERE id = ?",
        )
        .bind(id.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map_or_else(Start::default, |row| beyond(&row, now)))
    }

    /// Notes how far numbers have run.
    pub(crate) async fn save_positions(
        &self,
        notes: &[Note],
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        for Note {
            id,
            position,
            settled,
        } in notes
        {
            sqlx::query(
                "INSERT INTO positions (id, epoch, msn, saved_ms, settled, discontinuities) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET \
                 epoch = max(epoch, excluded.epoch), msn = max(msn, excluded.msn), saved_ms = excluded.saved_ms, settled = excluded.settled, \
                 discontinuities = max(discontinuities, excluded.discontinuities)",
            )
            .bind(id.as_str())
            .bind(i64::from(position.epoch.0))
            .bind(position.msn.0.cast_signed())
            .bind(millis(now))
            .bind(*settled)
            .bind(position.discontinuity_sequence.cast_signed())
            .execute(&mut *transaction)
            .await?;
        }
        let forgotten = millis(now)
            .saturating_sub(i64::try_from(POSITIONS_KEPT.as_millis()).unwrap_or(i64::MAX));
        sqlx::query("DELETE FROM positions WHERE saved_ms < ?")
            .bind(forgotten)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(
                version,
                name.into(),
                MigrationType::Simple,
                AssertSqlSafe(sql).into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

fn record(row: &SqliteRow) -> Option<Record> {
    Some(Record {
        id: BroadcastId::parse(row.get(0)).ok()?,
        title: row.get(1),
        created: time(row.get(2)),
        ended: row.get::<Option<i64>, _>(3).map(time),
    })
}

/// After a crash, segments may have been made since the last note: at most one a second, since segments are longer.
/// Epochs that rose in the last two seconds may be missing too; more are skipped than a stream can use up in that time.
fn beyond(row: &SqliteRow, now: UnixTime) -> Start {
    const EPOCHS_SKIPPED: u32 = 64;
    let epoch = u32::try_from(row.get::<i64, _>(0)).unwrap_or(u32::MAX);
    let msn = row.get::<i64, _>(1).unsigned_abs();
    let saved: UnixTime = time(row.get(2));
    let settled: bool = row.get(3);
    let discontinuity_sequence = row.get::<i64, _>(4).unsigned_abs();
    if settled {
        return Start {
            epoch: Epoch(epoch).next(),
            msn: Msn(msn),
            discontinuity_sequence,
        };
    }
    let seconds = now.as_millis().saturating_sub(saved.as_millis()) / 1_000;
    Start {
        epoch: Epoch(epoch.saturating_add(EPOCHS_SKIPPED)),
        msn: Msn(msn.saturating_add(seconds + 1)),
        discontinuity_sequence,
    }
}

fn millis(time: UnixTime) -> i64 {
    time.as_millis().cast_signed()
}

fn time(millis: i64) -> UnixTime {
    UnixTime::from_millis(millis.unsigned_abs())
}
