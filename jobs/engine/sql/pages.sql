-- pages: how many pages the jobs take.
SELECT pg_relation_size('jobs_job') / current_setting('block_size')::bigint
