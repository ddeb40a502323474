DROP INDEX idx_journal_origin;
ALTER TABLE journal DROP COLUMN origin;
