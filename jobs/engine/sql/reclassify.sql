-- reclassify: call a job's end by another word. An id not returned ended otherwise, or has not ended.
WITH chosen AS MATERIALIZED (
    SELECT id, state FROM jobs_job WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s) ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE jobs_job AS job SET state = %(target)s, updated_at = clock_timestamp()
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id, chosen.state AS before
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, %(action)s, 'job', id::text,
           jsonb_build_object('reason', %(reason)s::text,
                              'state', jsonb_build_object('from', before, 'to', %(target)s::text)),
           %(ip)s::inet
      FROM moved
)
SELECT id FROM moved
