-- In how many memories each word occurs: what makes a rare word weigh more than a common one. Counted anew in the
-- background; the row of the empty word says of how many memories.
CREATE TABLE term_stats (
    lexeme    text COLLATE "C" PRIMARY KEY,
    documents integer NOT NULL
);
