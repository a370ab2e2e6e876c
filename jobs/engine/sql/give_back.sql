-- give_back: return jobs of a lease that were never started; the attempt they were counted for did not happen.
UPDATE jobs_job
   SET state = 'pending', lease = NULL, attempt = attempt - 1, updated_at = clock_timestamp()
 WHERE id = ANY(%(ids)s) AND lease = %(token)s AND state = 'dispatched'
RETURNING id
