-- front: lock the best ranked pending jobs of one queue; rows locked by someone else are skipped.
-- An earlier start that no retry explains was lost: such a job travels alone. So does one whose loss is final.
SELECT id, task, attempt > retries OR coalesce(starts_with(options, '{"on_lost": "dead_letter"'), false)
  FROM jobs_job
 WHERE state = 'pending' AND queue = %(queue)s AND (expires_at IS NULL OR expires_at > clock_timestamp())
 ORDER BY rank, id
 LIMIT %(limit)s
   FOR NO KEY UPDATE SKIP LOCKED
