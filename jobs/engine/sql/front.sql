-- front: lock the best ranked pending jobs of one queue; rows locked by someone else are skipped.
-- An earlier start that no retry explains was lost: such a job travels alone.
SELECT id, task, attempt > retries
  FROM jobs_job
 WHERE state = 'pending' AND queue = %(queue)s AND (expires_at IS NULL OR expires_at > clock_timestamp())
 ORDER BY rank, id
 LIMIT %(limit)s
   FOR NO KEY UPDATE SKIP LOCKED
