-- release_after: let the jobs go that wait for jobs which are over, or gone.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH waiting AS MATERIALIZED (
    SELECT job.id FROM jobs_job AS job
     WHERE job.state = 'blocked' AND job.after = ANY(%(ids)s) AND job.after <> job.id
       AND NOT EXISTS (SELECT FROM jobs_job AS before WHERE before.id = job.after AND before.finished_at IS NULL)
     ORDER BY job.id FOR NO KEY UPDATE OF job
)
UPDATE jobs_job AS job
   SET state = CASE WHEN job.run_at > clock_timestamp() THEN 'scheduled' ELSE 'pending' END,
       run_at = CASE WHEN job.run_at > clock_timestamp() THEN job.run_at END, after = NULL,
       ready_at = greatest(job.run_at, clock_timestamp()), updated_at = clock_timestamp(),
       rank = (extract(epoch FROM greatest(job.run_at, clock_timestamp())) * 1000000)::bigint - job.priority::bigint
            * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s)
  FROM waiting
 WHERE job.id = waiting.id AND job.state LIKE 'blocked'
RETURNING job.id
