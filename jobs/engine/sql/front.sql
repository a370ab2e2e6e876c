-- front: lock the best ranked pending jobs of one queue; rows locked by someone else are skipped.
-- From the position `rank`, `id` on, because the entries before it may be many and dead. A paused queue has no front.
-- An earlier start that no retry explains was lost: such a job travels alone. So does one whose loss is final.
SELECT id, task, attempt > retries OR coalesce(starts_with(options, '{"on_lost": "dead_letter"'), false), rank
  FROM jobs_job
 WHERE state = 'pending' AND queue = %(queue)s AND (rank, id) >= (%(rank)s, %(id)s)
   AND NOT EXISTS (SELECT FROM jobs_queue WHERE name = %(queue)s AND paused_at IS NOT NULL)
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
 ORDER BY rank, id
 LIMIT %(limit)s
   FOR NO KEY UPDATE SKIP LOCKED
