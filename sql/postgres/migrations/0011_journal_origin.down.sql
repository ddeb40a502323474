ALTER TABLE journal DROP COLUMN origin;
