-- purge: delete finished jobs and their attempts. An id not returned is live, is locked, or is still needed:
-- by a job that waits for it or for its chord, or as the holder of a unique key.
WITH chosen AS MATERIALIZED (
    SELECT id, state FROM jobs_job AS job
     WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s) AND finished_at IS NOT NULL
       AND (unique_key IS NULL OR unique_until IS NULL OR unique_until <= clock_timestamp())
       AND NOT EXISTS (SELECT FROM jobs_job AS waiting WHERE waiting.after = job.id AND waiting.state = 'blocked')
       AND (chord IS NULL OR NOT EXISTS (
               SELECT FROM jobs_job AS waiting WHERE waiting.after = job.chord AND waiting.state = 'blocked'))
     ORDER BY id FOR UPDATE SKIP LOCKED
), attempts AS (
    DELETE FROM jobs_attempt WHERE job_id = ANY(ARRAY(SELECT id FROM chosen))
), gone AS (
    DELETE FROM jobs_job WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id, state
)
SELECT id, state FROM gone
