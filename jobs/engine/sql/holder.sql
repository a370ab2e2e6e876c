-- holder: the job that holds a key, and whether its hold is over and only a sweep has not come by yet.
SELECT id, after, finished_at IS NOT NULL AND (unique_until IS NULL OR unique_until <= clock_timestamp())
  FROM jobs_job WHERE task = %(task)s AND unique_key = %(unique_key)s
