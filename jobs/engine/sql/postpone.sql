-- postpone: give waiting jobs another time to start. An id not returned is with a worker, waits for others, is over, or
-- would have expired by then. One that retries goes on retrying. A time that is past is now.
WITH chosen AS MATERIALIZED (
    SELECT id, run_at, state FROM jobs_job
     WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s)
       AND (expires_at IS NULL OR expires_at > greatest(%(run_at)s::timestamptz, clock_timestamp()))
     ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN job.state = 'retrying' THEN 'retrying' ELSE 'scheduled' END, pause = NULL,
           run_at = greatest(%(run_at)s::timestamptz, clock_timestamp()), updated_at = clock_timestamp()
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id, chosen.run_at AS before, job.run_at
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, 'postpone', 'job', id::text,
           jsonb_build_object('reason', %(reason)s::text, 'run_at', jsonb_build_object('from', before, 'to', run_at)),
           %(ip)s::inet
      FROM moved
)
SELECT id, run_at FROM moved
