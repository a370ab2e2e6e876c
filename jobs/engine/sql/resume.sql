-- resume: let jobs go whose pause was lifted or is over, the best ranked of a queue first.
-- Each is ranked anew: its queue's aging may have changed while it was set aside.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH RECURSIVE ended AS (
    DELETE FROM jobs_pause WHERE until <= clock_timestamp()
), found AS (
    (SELECT pause FROM jobs_job WHERE state = 'paused' ORDER BY pause LIMIT 1)
    UNION ALL
    SELECT (SELECT pause FROM jobs_job WHERE state = 'paused' AND pause > found.pause ORDER BY pause LIMIT 1)
      FROM found WHERE found.pause IS NOT NULL
), lifted AS MATERIALIZED (
    SELECT pause FROM found
     WHERE pause IS NOT NULL
       AND NOT EXISTS (SELECT FROM jobs_pause
                        WHERE id = found.pause AND (until IS NULL OR until > clock_timestamp()))
     LIMIT 1
), free AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE state = 'paused' AND pause = (SELECT pause FROM lifted)
     ORDER BY queue, rank LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs_job AS job
   SET state = 'pending', pause = NULL, updated_at = clock_timestamp(),
       rank = coalesce((extract(epoch FROM job.ready_at) * 1000000)::bigint - job.priority::bigint
                     * (SELECT aging_us FROM jobs_queue WHERE name = job.queue), job.rank)
  FROM free
 WHERE job.id = free.id AND job.state LIKE 'paused'
RETURNING job.id
