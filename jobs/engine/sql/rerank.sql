-- rerank: bring the next pending jobs behind a place in their queue's order to an aging.
-- No row: the queue ends here. Else the last place seen, how many ranks changed, and how many were locked by someone.
-- A job that moves down the order is seen again, which changes nothing: the rank follows from the row alone.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH seen AS MATERIALIZED (
    SELECT id, rank,
           (extract(epoch FROM ready_at) * 1000000)::bigint - priority::bigint * %(aging_us)s::bigint AS fresh
      FROM jobs_job
     WHERE state = 'pending' AND queue = %(queue)s AND (rank, id) > (%(rank)s::bigint, %(id)s::uuid)
     ORDER BY rank, id LIMIT %(limit)s
), chosen AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE id = ANY(ARRAY(SELECT id FROM seen WHERE rank <> fresh)) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs_job AS job
       SET rank = (extract(epoch FROM job.ready_at) * 1000000)::bigint - job.priority::bigint * %(aging_us)s::bigint
      FROM chosen
     WHERE job.id = chosen.id AND job.state LIKE 'pending'
    RETURNING job.id
)
SELECT last.rank, last.id, (SELECT count(*) FROM moved),
       (SELECT count(*) FROM seen WHERE rank <> fresh) - (SELECT count(*) FROM chosen)
  FROM (SELECT rank, id FROM seen ORDER BY rank DESC, id DESC LIMIT 1) AS last
