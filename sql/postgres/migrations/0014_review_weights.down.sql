ALTER TABLE review_events DROP COLUMN weights_hash;
DROP TABLE review_weights;
