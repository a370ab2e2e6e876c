-- release_keys: finished jobs let go of the unique keys that they held until now.
-- statement_timestamp(), as clock_timestamp() is no bound for an index: all that waits would be read to find what is due.
WITH late AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE unique_until <= statement_timestamp()
       AND unique_until IS NOT NULL AND unique_key IS NOT NULL AND finished_at IS NOT NULL
     ORDER BY unique_until LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs_job AS job SET unique_key = NULL FROM late
 WHERE job.id = late.id AND job.finished_at IS NOT NULL AND job.unique_until <= clock_timestamp()
RETURNING job.id
