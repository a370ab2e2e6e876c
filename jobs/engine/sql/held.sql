-- held: a job as its worker had it, if the lease still holds it.
SELECT id::text, task, options, attempt, retries, max_retries, priority, queue, coalesce(started_at, clock_timestamp()),
       retry_until
  FROM jobs_job WHERE id = %(id)s AND lease = %(token)s
