-- Memories that a bulk delete leaves alone, and the lapses at which the mark of a leech was cleared.
ALTER TABLE review_marks ADD COLUMN pinned boolean NOT NULL DEFAULT false;
ALTER TABLE review_marks ADD COLUMN cleared_lapses integer NOT NULL DEFAULT 0;
