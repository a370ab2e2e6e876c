-- requeue: give finished jobs a new epoch. An id not returned was not in one of the states it may leave.
WITH chosen AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s) ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE jobs_job AS job
       SET state = 'pending', epoch = job.epoch + 1, attempt = 0, retries = 0, strikes = 0, expires_at = NULL,
           result = NULL, error = NULL, progress = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL,
           ready_at = clock_timestamp(), updated_at = clock_timestamp(),
           rank = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - job.priority::bigint
                * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s)
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, 'requeue', 'job', id::text, jsonb_build_object('reason', %(reason)s::text), %(ip)s::inet
      FROM moved
)
SELECT id FROM moved
