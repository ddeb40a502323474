-- What adoption adds to a file of a Vestige server, and how it is dropped again. No table here references a table of
-- the server, which deletes and inserts rows anew and rebuilds its tables. Nothing of the server's is changed but
-- columns added to knowledge_nodes, and the schema version of a phase 1 file.

-- add_owner_user_id --
-- A reference would be refused: SQLite adds none with a default while foreign keys are enforced.
ALTER TABLE main.knowledge_nodes ADD COLUMN owner_user_id TEXT NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001'

-- add_visibility --
ALTER TABLE main.knowledge_nodes ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private'

-- add_shared_with_groups --
ALTER TABLE main.knowledge_nodes ADD COLUMN shared_with_groups TEXT NOT NULL DEFAULT '[]'

-- add_codebase --
ALTER TABLE main.knowledge_nodes ADD COLUMN codebase TEXT

-- add_undoes --
-- A phase 1 file has a review log of its own, which knows no undo.
ALTER TABLE main.review_events ADD COLUMN undoes INTEGER

-- add_weights_hash --
ALTER TABLE main.review_events ADD COLUMN weights_hash TEXT

-- create_users --
CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    handle       TEXT NOT NULL UNIQUE,
    display_name TEXT,
    created_at   TEXT NOT NULL,
    metadata     TEXT NOT NULL DEFAULT '{}'
);
INSERT INTO users (id, handle, display_name, created_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'local', 'Local User', strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'));

-- create_groups --
CREATE TABLE groups (
    id           TEXT PRIMARY KEY,
    handle       TEXT NOT NULL UNIQUE,
    display_name TEXT,
    created_at   TEXT NOT NULL,
    metadata     TEXT NOT NULL DEFAULT '{}'
);

-- create_group_memberships --
CREATE TABLE group_memberships (
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role      TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin')),
    joined_at TEXT NOT NULL,
    PRIMARY KEY (user_id, group_id)
);

-- create_review_events --
CREATE TABLE review_events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    memory_id    TEXT NOT NULL,
    timestamp    TEXT NOT NULL,
    rating       INTEGER NOT NULL,
    prior_state  TEXT NOT NULL,
    new_state    TEXT NOT NULL,
    undoes       INTEGER REFERENCES review_events (id) ON DELETE CASCADE,
    weights_hash TEXT
);

-- create_review_marks --
CREATE TABLE review_marks (
    memory_id      TEXT PRIMARY KEY,
    suspended      INTEGER NOT NULL DEFAULT 0,
    buried_until   TEXT,
    pinned         INTEGER NOT NULL DEFAULT 0,
    cleared_lapses INTEGER NOT NULL DEFAULT 0
);

-- create_review_weights --
CREATE TABLE review_weights (
    hash       TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    weights    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    applied_at TEXT
);

-- create_supersession_events --
CREATE TABLE supersession_events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    loser_id   TEXT NOT NULL,
    winner_id  TEXT,
    kind       TEXT NOT NULL DEFAULT 'supersede'
               CHECK (kind IN ('supersede', 'unsupersede', 'winner_deleted', 'imported')),
    decided_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    CHECK (loser_id <> winner_id),
    CHECK ((winner_id IS NULL) = (kind IN ('unsupersede', 'winner_deleted')))
);

-- create_journal --
CREATE TABLE journal (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    actor     TEXT NOT NULL,
    verb      TEXT NOT NULL,
    before    TEXT NOT NULL,
    after     TEXT NOT NULL,
    undone_by INTEGER REFERENCES journal (id),
    origin    TEXT
);

-- create_console_extra --
-- What a memory has here and no column of the server's holds, such as its metadata.
CREATE TABLE console_extra (
    node_id TEXT PRIMARY KEY,
    json    TEXT NOT NULL
);

-- create_console_images --
-- Values of the server's rows that a change of the journal has overwritten or deleted, a row for each.
CREATE TABLE console_images (
    id    INTEGER PRIMARY KEY,
    entry INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    place TEXT NOT NULL,
    key_1,
    key_2,
    key_3,
    name  TEXT NOT NULL,
    before,
    after
);

-- create_vestige_migrations --
CREATE TABLE vestige_migrations (
    version     INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    applied_at  TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    adopted     INTEGER NOT NULL DEFAULT 0
);

-- create_console_adoption --
-- What was added, as JSON, so that this and nothing else is dropped.
CREATE TABLE console_adoption (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    adopted_at TEXT NOT NULL,
    backup     TEXT NOT NULL,
    added      TEXT NOT NULL
);

-- adoption_indexes --
CREATE INDEX IF NOT EXISTS idx_nodes_owner_user_id ON knowledge_nodes (owner_user_id);
CREATE INDEX IF NOT EXISTS idx_nodes_codebase ON knowledge_nodes (codebase) WHERE codebase IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_review_events_memory ON review_events (memory_id, id);
CREATE INDEX IF NOT EXISTS idx_review_events_ts ON review_events (timestamp);
CREATE INDEX IF NOT EXISTS idx_review_events_undoes ON review_events (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_supersession_events_loser ON supersession_events (loser_id, decided_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_supersession_events_winner ON supersession_events (winner_id);
CREATE INDEX IF NOT EXISTS idx_supersession_events_decided ON supersession_events (decided_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_console_images_entry ON console_images (entry);
CREATE INDEX IF NOT EXISTS idx_journal_origin ON journal (origin, id) WHERE origin IS NOT NULL;

-- index_winners --
CREATE INDEX IF NOT EXISTS idx_nodes_superseded_by ON knowledge_nodes (superseded_by) WHERE superseded_by IS NOT NULL

-- new_winners --
-- Winners that the server has set and the log does not know, and those that it has taken back; a winner that is not
-- there is none. Each as an event that sorts last.
SELECT n.id AS loser_id, n.superseded_by AS winner_id, 'imported' AS kind,
    max({decided_at}, coalesce((SELECT max(e.decided_at) FROM main.supersession_events e WHERE e.loser_id = n.id), '')) AS decided_at
FROM main.knowledge_nodes n
WHERE n.superseded_by IS NOT NULL AND n.superseded_by <> n.id
AND EXISTS (SELECT 1 FROM main.knowledge_nodes w WHERE w.id = n.superseded_by)
AND n.superseded_by IS NOT (
    SELECT e.winner_id FROM main.supersession_events e WHERE e.loser_id = n.id
    ORDER BY e.decided_at DESC, e.id DESC LIMIT 1)
UNION ALL
SELECT n.id, NULL, 'unsupersede', max(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'), e.decided_at)
FROM main.supersession_events e JOIN main.knowledge_nodes n ON n.id = e.loser_id
WHERE e.winner_id IS NOT NULL AND n.superseded_by IS NULL
AND e.id = (SELECT l.id FROM main.supersession_events l WHERE l.loser_id = e.loser_id ORDER BY l.decided_at DESC, l.id DESC LIMIT 1)

-- import_winners --
INSERT INTO main.supersession_events (loser_id, winner_id, kind, decided_at)

-- import_pins --
INSERT INTO main.review_marks (memory_id, pinned) SELECT n.id, 1 FROM main.knowledge_nodes n WHERE n.protected <> 0

-- count_written --
-- What is in the tables that undoing an adoption drops.
SELECT (SELECT count(*) FROM main.review_events) AS reviews,
    (SELECT count(*) FROM main.supersession_events WHERE kind <> 'imported') AS supersessions,
    (SELECT count(*) FROM main.review_marks WHERE suspended <> 0 OR buried_until IS NOT NULL OR cleared_lapses <> 0) AS marks,
    (SELECT count(*) FROM main.journal) AS journal_entries,
    (SELECT count(*) FROM main.console_extra) AS extras,
    (SELECT count(*) FROM main.users) - 1 AS users,
    (SELECT count(*) FROM main.groups) AS groups

-- count_labelled --
-- Memories with a value in an added column that undoing an adoption drops.
SELECT count(*) FROM main.knowledge_nodes WHERE codebase IS NOT NULL OR visibility <> 'private'

-- count_server_memories --
SELECT count(*) FROM main.knowledge_nodes

-- count_table --
SELECT count(*) FROM main.{table}

-- list_indexes --
SELECT name FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL

-- get_server_version --
SELECT max(version) FROM main.schema_version

-- set_server_version --
UPDATE main.schema_version SET version = ?

-- get_added --
SELECT added FROM main.console_adoption

-- insert_adoption --
INSERT INTO main.console_adoption (id, adopted_at, backup, added) VALUES (1, ?, ?, ?)

-- update_adoption --
UPDATE main.console_adoption SET added = ?

-- read_schema_cookie --
-- A number that every change of the tables moves.
PRAGMA main.schema_version

-- insert_adopted_migration --
INSERT INTO main.vestige_migrations (version, name, sha256, applied_at, duration_ms, adopted) VALUES (?, ?, ?, ?, 0, 1)
