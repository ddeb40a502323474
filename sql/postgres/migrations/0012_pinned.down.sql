ALTER TABLE review_marks DROP COLUMN cleared_lapses, DROP COLUMN pinned;
