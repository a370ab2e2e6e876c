-- ranked: every pending job of a queue is ranked by this aging now. No row: it was changed again meanwhile.
WITH before AS MATERIALIZED (
    SELECT name, ranked_us FROM jobs_queue WHERE name = %(queue)s AND aging_us = %(aging_us)s FOR NO KEY UPDATE
), settled AS (
    UPDATE jobs_queue AS queue SET ranked_us = %(aging_us)s FROM before WHERE queue.name = before.name
    RETURNING queue.name, before.ranked_us
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail)
    SELECT 'dispatcher', 'rerank', 'queue', name,
           jsonb_build_object('aging_us', jsonb_build_object('from', ranked_us, 'to', %(aging_us)s::bigint),
                              'jobs', %(moved)s::bigint)
      FROM settled WHERE ranked_us IS NOT NULL OR %(moved)s::bigint > 0
)
SELECT name FROM settled
