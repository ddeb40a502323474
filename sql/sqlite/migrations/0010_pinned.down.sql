ALTER TABLE review_marks DROP COLUMN cleared_lapses;
ALTER TABLE review_marks DROP COLUMN pinned;
