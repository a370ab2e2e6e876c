-- expire: end jobs that did not start before their `expires`.
-- statement_timestamp(), as clock_timestamp() is no bound for an index: all that waits would be read to find what is due.
WITH late AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE expires_at <= statement_timestamp() AND finished_at IS NULL AND expires_at IS NOT NULL
       AND state IN ('scheduled', 'pending', 'paused', 'retrying')
     ORDER BY expires_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs_job AS job
   SET state = 'expired', finished_at = clock_timestamp(), updated_at = clock_timestamp(), run_at = NULL,
       unique_key = NULL, pause = NULL, error = 'expired: it did not start before its expiry'
  FROM late
 WHERE job.id = late.id AND job.state IN ('scheduled', 'pending', 'paused', 'retrying')
RETURNING job.id
