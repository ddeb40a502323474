-- Memories that a bulk delete leaves alone, and the lapses at which the mark of a leech was cleared.
ALTER TABLE review_marks ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE review_marks ADD COLUMN cleared_lapses INTEGER NOT NULL DEFAULT 0;
