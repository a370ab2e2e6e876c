-- request_cancel: ask the workers that have these jobs to stop them. An id not returned is in no worker's hands.
WITH chosen AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE id = ANY(%(ids)s) AND state IN ('dispatched', 'running') ORDER BY id FOR NO KEY UPDATE
), asked AS (
    UPDATE jobs_job AS job
       SET cancel_requested_at = coalesce(job.cancel_requested_at, clock_timestamp()), updated_at = clock_timestamp()
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, 'request_cancel', 'job', id::text, jsonb_build_object('reason', %(reason)s::text), %(ip)s::inet
      FROM asked
)
SELECT id FROM asked
