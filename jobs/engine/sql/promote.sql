-- promote: make jobs pending whose time has come. Rows locked by someone else wait for the next call.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
-- statement_timestamp(), as clock_timestamp() is no bound for an index: all that waits would be read to find what is due.
WITH due AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE state IN ('scheduled', 'retrying') AND run_at <= statement_timestamp()
     ORDER BY run_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs_job AS job
   SET state = 'pending', ready_at = job.run_at, run_at = NULL, updated_at = clock_timestamp(),
       rank = (extract(epoch FROM job.run_at) * 1000000)::bigint - job.priority::bigint
            * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s)
  FROM due
 WHERE job.id = due.id AND job.state LIKE ANY (ARRAY['scheduled', 'retrying'])
RETURNING job.id
