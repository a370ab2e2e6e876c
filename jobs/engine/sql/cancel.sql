-- cancel: end jobs that have not started. An id not returned had: it runs, or it is over.
WITH chosen AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s) ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE jobs_job AS job
       SET state = 'cancelled', finished_at = clock_timestamp(), updated_at = clock_timestamp(), run_at = NULL,
           unique_key = NULL, pause = NULL, error = 'cancelled before it started'
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, 'cancel', 'job', id::text, jsonb_build_object('reason', %(reason)s::text), %(ip)s::inet
      FROM moved
)
SELECT id FROM moved
