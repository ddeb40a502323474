DROP TABLE model_changes;
DROP TRIGGER trg_knowledge_nodes_spare ON knowledge_nodes;
DROP FUNCTION vestige_forget_spare();
DROP TABLE spare_model;
DROP TABLE spare_embeddings;
DELETE FROM job_findings WHERE outcome NOT IN ('repaired', 'failed', 'left_behind', 'zero_vector');
ALTER TABLE job_findings DROP CONSTRAINT job_findings_outcome_check;
ALTER TABLE job_findings ADD CONSTRAINT job_findings_outcome_check
    CHECK (outcome IN ('repaired', 'failed', 'left_behind', 'zero_vector'));
ALTER TABLE job_runs DROP COLUMN began_with;
ALTER TABLE job_runs DROP COLUMN options;
