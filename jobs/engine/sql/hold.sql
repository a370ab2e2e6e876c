-- hold: set aside those of a queue's best ranked pending jobs that are paused by their task, key or tag.
-- One row unless the queue is empty: the last place seen, how many jobs were seen, and how many are set aside now.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH seen AS MATERIALIZED (
    SELECT id, rank, task, unique_key, tags
      FROM jobs_job WHERE state = 'pending' AND queue = %(queue)s
     ORDER BY rank, id LIMIT %(limit)s
), matched AS MATERIALIZED (
    SELECT DISTINCT ON (seen.id) seen.id, pause.id AS pause
      FROM seen JOIN jobs_pause AS pause
        ON (pause.until IS NULL OR pause.until > clock_timestamp())
       AND CASE pause.kind WHEN 'task' THEN pause.name = seen.task
                           WHEN 'key' THEN pause.name = seen.unique_key
                           ELSE coalesce(pause.value = seen.tags->>pause.name, seen.tags ? pause.name) END
     ORDER BY seen.id, pause.id
), held AS MATERIALIZED (
    SELECT job.id, matched.pause FROM matched JOIN jobs_job AS job ON job.id = matched.id
     WHERE job.state LIKE 'pending' ORDER BY job.id FOR NO KEY UPDATE OF job SKIP LOCKED
), moved AS (
    UPDATE jobs_job AS job SET state = 'paused', pause = held.pause, updated_at = clock_timestamp()
      FROM held WHERE job.id = held.id AND job.state LIKE 'pending'
    RETURNING job.id
)
SELECT last.rank, last.id, (SELECT count(*) FROM seen), (SELECT count(*) FROM moved)
  FROM (SELECT rank, id FROM seen ORDER BY rank DESC, id DESC LIMIT 1) AS last
