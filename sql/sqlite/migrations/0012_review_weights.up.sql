-- Weights of FSRS by their hash; those that were applied last are in force. A review names the weights that scheduled it.
CREATE TABLE review_weights (
    hash       TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    weights    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    applied_at TEXT
);
ALTER TABLE review_events ADD COLUMN weights_hash TEXT;
