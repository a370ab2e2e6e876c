-- joined: which of these calls write no row, because their id is live or another job holds their unique key.
SELECT new.id FROM unnest(%(ids)s::uuid[], %(tasks)s::text[], %(keys)s::text[]) AS new (id, task, unique_key)
 WHERE EXISTS (SELECT FROM jobs_job AS job
                WHERE job.id = new.id AND job.finished_at IS NULL
                  AND (job.state <> 'blocked' OR job.after IS DISTINCT FROM job.id))
    OR EXISTS (SELECT FROM jobs_job AS job
                WHERE job.task = new.task AND job.unique_key = new.unique_key
                  AND (job.finished_at IS NULL OR job.unique_until > clock_timestamp()))
