-- give_back: return jobs of a lease that were never started; the attempt they were counted for did not happen.
-- It is ranked anew: its queue's aging may have changed. One that someone wanted to cancel meanwhile is cancelled.
-- Locked in id order, as everywhere.
WITH held AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s) AND lease = %(token)s AND state = 'dispatched'
     ORDER BY id FOR NO KEY UPDATE
)
UPDATE jobs_job AS job
   SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
       finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
       unique_key = CASE WHEN cancel_requested_at IS NULL THEN unique_key END,
       rank = coalesce((extract(epoch FROM job.ready_at) * 1000000)::bigint - job.priority::bigint
                     * (SELECT aging_us FROM jobs_queue WHERE name = job.queue), job.rank),
       lease = NULL, attempt = attempt - 1, updated_at = clock_timestamp()
  FROM held
 WHERE job.id = held.id AND job.lease = %(token)s AND job.state = 'dispatched'
RETURNING job.id, job.state
