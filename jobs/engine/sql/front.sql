-- front: lock the best ranked pending jobs of one queue; rows locked by someone else are skipped.
-- From the position `rank`, `id` on, because the entries before it may be many and dead, and up to one, because those
-- behind it may be many and paused. A paused queue has no front; what a pause of a task, key or tag holds is no part of it.
-- An earlier start that no retry explains was lost: such a job travels alone. So does one whose loss is final.
SELECT id, task, attempt > retries OR coalesce(starts_with(options, '{"on_lost": "dead_letter"'), false), rank
  FROM jobs_job AS job
 WHERE state = 'pending' AND queue = %(queue)s AND (rank, id) >= (%(rank)s, %(id)s)
   AND (rank, id) <= (%(last_rank)s, %(last_id)s)
   AND NOT EXISTS (SELECT FROM jobs_queue WHERE name = %(queue)s AND paused_at IS NOT NULL)
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
   AND (NOT EXISTS (SELECT FROM jobs_pause)
        OR NOT EXISTS (
           SELECT FROM jobs_pause AS pause
            WHERE (pause.until IS NULL OR pause.until > clock_timestamp())
              AND CASE pause.kind WHEN 'task' THEN pause.name = job.task
                                  WHEN 'key' THEN pause.name = job.unique_key
                                  ELSE coalesce(pause.value = job.tags->>pause.name, job.tags ? pause.name) END))
 ORDER BY rank, id
 LIMIT %(limit)s
   FOR NO KEY UPDATE SKIP LOCKED
