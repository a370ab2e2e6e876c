-- release_stale: finished jobs let go of keys that these want again, if their hold is over and no sweep has come by yet.
UPDATE jobs_job AS holder SET unique_key = NULL, unique_until = NULL
  FROM jobs_job AS job
 WHERE job.id = ANY(%(ids)s) AND job.state = ANY(%(sources)s)
   AND holder.task = job.task AND holder.unique_key = job.given_key
   AND holder.finished_at IS NOT NULL
   AND (holder.unique_until IS NULL OR holder.unique_until <= clock_timestamp())
RETURNING holder.id
