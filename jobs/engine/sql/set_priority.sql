-- set_priority: give waiting jobs a priority, or %(points)s more of it within −100 … 100, and the rank that follows.
-- An id not returned is with a worker, or over.
WITH chosen AS MATERIALIZED (
    SELECT id, priority,
           greatest(-100, least(100, coalesce(%(priority)s::bigint, priority + %(points)s::bigint)))::smallint AS fresh
      FROM jobs_job WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s) ORDER BY id FOR NO KEY UPDATE
), moved AS (
    UPDATE jobs_job AS job
       SET priority = chosen.fresh, updated_at = clock_timestamp(),
           rank = (extract(epoch FROM job.ready_at) * 1000000)::bigint - chosen.fresh::bigint
                * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s::bigint)
      FROM chosen WHERE job.id = chosen.id
    RETURNING job.id, chosen.priority AS before, job.priority
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, %(action)s, 'job', id::text,
           jsonb_build_object('reason', %(reason)s::text, 'priority', jsonb_build_object('from', before, 'to', priority)),
           %(ip)s::inet
      FROM moved WHERE before <> priority
)
SELECT id, priority FROM moved
