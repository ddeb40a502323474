-- The console or command that made a change, so that a console undoes none but its own.
ALTER TABLE journal ADD COLUMN origin text;
CREATE INDEX idx_journal_origin ON journal (origin, id) WHERE origin IS NOT NULL;
