DROP TABLE job_findings, job_runs, delegations;
