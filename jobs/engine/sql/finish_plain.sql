-- finish_plain: `finish` for jobs that completed and that nothing follows from, which are nearly all: few columns.
-- Times are seconds since 1970. An id that comes back is stale or locked.
WITH closed AS (
    DELETE FROM jobs_lease WHERE token = %(token)s AND %(done)s RETURNING token
), outcome AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(started)s::float8[], %(finished)s::float8[], %(results)s::text[])
        AS outcome (id, started, finished, result)
    ORDER BY id
), moved AS (
    UPDATE jobs_job AS job
       SET state = 'completed', lease = NULL, worker = %(node)s,
           started_at = to_timestamp(outcome.started), finished_at = to_timestamp(outcome.finished), run_at = NULL,
           result = outcome.result, error = NULL,
           unique_key = CASE WHEN job.unique_until > clock_timestamp() THEN job.unique_key END,
           updated_at = clock_timestamp()
      FROM outcome
     WHERE job.id = outcome.id AND job.lease = %(token)s AND (SELECT count(*) FROM closed) >= 0
    RETURNING job.id, job.epoch, job.attempt, job.started_at, job.finished_at
), recorded AS (
    INSERT INTO jobs_attempt (job_id, epoch, number, worker, started_at, finished_at, "end")
    SELECT id, epoch, attempt, %(node)s, started_at, finished_at, 'completed' FROM moved
)
SELECT id FROM outcome WHERE id NOT IN (SELECT id FROM moved)
