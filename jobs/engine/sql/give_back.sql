-- give_back: return jobs of a lease that were never started; the attempt they were counted for did not happen.
-- One that someone wanted to cancel meanwhile is cancelled.
UPDATE jobs_job
   SET state = CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END,
       finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
       unique_key = CASE WHEN cancel_requested_at IS NULL THEN unique_key END,
       lease = NULL, attempt = attempt - 1, updated_at = clock_timestamp()
 WHERE id = ANY(%(ids)s) AND lease = %(token)s AND state = 'dispatched'
RETURNING id
