DROP TABLE job_findings;
DROP TABLE job_runs;
DROP TABLE delegations;
