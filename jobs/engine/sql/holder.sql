-- holder: the job that holds a key, the job that it waits for while a worker has that, and whether its hold is over and
-- only a sweep has not come by yet. Whoever waits for no other kind of job never waits in a circle, or for itself.
SELECT id, (SELECT id FROM jobs_job AS before WHERE before.id = job.after AND before.lease IS NOT NULL), finished_at IS NOT NULL AND (unique_until IS NULL OR unique_until <= clock_timestamp())
  FROM jobs_job AS job WHERE task = %(task)s AND unique_key = %(unique_key)s
