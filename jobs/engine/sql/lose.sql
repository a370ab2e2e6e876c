-- lose: take back what a lease still holds, in one step with the lease. No row back: it was finished meanwhile.
-- %(begun)s: how many of its jobs had begun, in carrier order; NULL: unknown, so all of a won lease's.
-- %(strike)s: false when the worker was shut down, which is not the job's fault.
-- One that someone wanted to cancel is cancelled. A job that had begun gets an attempt row; only a loss while travelling alone is a strike, the last one is final.
WITH taken AS (
    DELETE FROM jobs_lease WHERE token = %(token)s AND (won_at IS NOT NULL) = %(won)s
    RETURNING token, job_ids, won_at, worker
), held AS MATERIALIZED (
    SELECT job.id, taken.won_at, cardinality(taken.job_ids) = 1 AS alone,
           taken.won_at IS NOT NULL
               AND array_position(taken.job_ids, job.id) <= coalesce(%(begun)s, cardinality(taken.job_ids)) AS begun,
           (SELECT name FROM jobs_worker WHERE id = taken.worker) AS node,
           job.cancel_requested_at IS NOT NULL AS unwanted
      FROM taken JOIN jobs_job AS job ON job.id = ANY(taken.job_ids) AND job.lease = taken.token
     ORDER BY job.id FOR NO KEY UPDATE OF job
), judged AS (
    SELECT held.*, %(strike)s AND held.begun AND held.alone AND job.strikes + 1 >= %(poison_after)s AND NOT unwanted AS poison
      FROM held JOIN jobs_job AS job ON job.id = held.id
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN judged.poison THEN 'dead_letter' WHEN judged.unwanted THEN 'cancelled' ELSE 'pending' END,
           lease = NULL,
           attempt = CASE WHEN judged.begun THEN job.attempt ELSE job.attempt - 1 END,
           strikes = job.strikes + (%(strike)s AND judged.begun AND judged.alone)::int,
           finished_at = CASE WHEN judged.poison OR judged.unwanted THEN clock_timestamp() END,
           unique_key = CASE WHEN NOT (judged.poison OR judged.unwanted) THEN job.unique_key END,
           error = CASE WHEN judged.poison THEN %(poison_error)s ELSE job.error END,
           updated_at = clock_timestamp()
      FROM judged
     WHERE job.id = judged.id AND job.lease = %(token)s
    RETURNING job.id, job.epoch, job.attempt, job.started_at, judged.won_at, judged.begun, judged.node, judged.poison
), recorded AS (
    INSERT INTO jobs_attempt (job_id, epoch, number, worker, started_at, finished_at, "end", error)
    SELECT id, epoch, attempt, node, coalesce(started_at, won_at), clock_timestamp(), 'lost', %(reason)s
      FROM moved WHERE begun
)
SELECT count(*) FILTER (WHERE begun), count(*) FILTER (WHERE NOT begun), count(*) FILTER (WHERE poison) FROM moved
