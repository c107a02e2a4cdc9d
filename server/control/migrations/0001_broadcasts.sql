-- One row a setting of this installation: the admin token's hash.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;

-- Broadcasts that were created with a stream key. `key_name` finds the row; `key_hash` proves the secret.
CREATE TABLE broadcasts (
    id         TEXT PRIMARY KEY NOT NULL,
    title      TEXT NOT NULL,
    key_name   TEXT NOT NULL UNIQUE,
    key_hash   BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms   INTEGER
) STRICT;

-- How far the numbers of a broadcast have run, so that one URL has one body across restarts too.
-- `settled`: the broadcast has ended, nothing beyond these numbers was announced.
CREATE TABLE positions (
    id       TEXT PRIMARY KEY NOT NULL,
    epoch    INTEGER NOT NULL,
    msn      INTEGER NOT NULL,
    saved_ms INTEGER NOT NULL,
    settled  INTEGER NOT NULL,
    discontinuities INTEGER NOT NULL
) STRICT;
