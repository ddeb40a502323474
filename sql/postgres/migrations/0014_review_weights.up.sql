-- Weights of FSRS by their hash; those that were applied last are in force. A review names the weights that scheduled it.
CREATE TABLE review_weights (
    hash       text PRIMARY KEY,
    algorithm  text NOT NULL,
    weights    jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    applied_at timestamptz
);
ALTER TABLE review_events ADD COLUMN weights_hash text;
CREATE TRIGGER trg_review_weights_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON review_weights
FOR EACH STATEMENT EXECUTE FUNCTION vestige_tell();
