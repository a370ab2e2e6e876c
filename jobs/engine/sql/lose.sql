-- lose: take back what a lease still holds, in one step with the lease. No row back: it was finished meanwhile.
-- %(begun)s: how many of its jobs had begun, in carrier order; NULL: unknown, so all of a won lease's.
-- %(worker)s: the boot that must have won it; NULL: whichever. A message may come twice, so that a worker knows of leases
-- that another one has.
-- %(strike)s: false when the worker was shut down, which is not the job's fault.
-- A returned one is ranked anew: its queue's aging may have changed while it was away.
-- One that ran holds its unique key for as long as its caller said, whatever its end.
-- One that someone wanted to cancel is cancelled. A job that had begun gets an attempt row; only a loss while travelling alone is a strike, the last one is final.
-- Options that begin with on_lost make the first loss final: such a job is never started a second time by itself.
WITH taken AS (
    DELETE FROM jobs_lease WHERE token = %(token)s AND (won_at IS NOT NULL) = %(won)s AND (%(worker)s::uuid IS NULL OR worker = %(worker)s)
    RETURNING token, job_ids, won_at, worker
), held AS MATERIALIZED (
    SELECT job.id, taken.won_at, cardinality(taken.job_ids) = 1 AS alone,
           taken.won_at IS NOT NULL
               AND array_position(taken.job_ids, job.id) <= coalesce(%(begun)s, cardinality(taken.job_ids)) AS begun,
           (SELECT name FROM jobs_worker WHERE id = taken.worker) AS node,
           job.cancel_requested_at IS NOT NULL AS unwanted,
           coalesce(starts_with(job.options, '{"on_lost": "dead_letter"'), false) AS once
      FROM taken JOIN jobs_job AS job ON job.id = ANY(taken.job_ids) AND job.lease = taken.token
     ORDER BY job.id FOR NO KEY UPDATE OF job
), judged AS (
    SELECT held.*, held.begun AND NOT unwanted
               AND (held.once OR (%(strike)s AND held.alone AND job.strikes + 1 >= %(poison_after)s)) AS dead
      FROM held JOIN jobs_job AS job ON job.id = held.id
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN judged.dead THEN 'dead_letter' WHEN judged.unwanted THEN 'cancelled' ELSE 'pending' END,
           lease = NULL,
           rank = coalesce((extract(epoch FROM job.ready_at) * 1000000)::bigint - job.priority::bigint
                         * (SELECT aging_us FROM jobs_queue WHERE name = job.queue), job.rank),
           attempt = CASE WHEN judged.begun THEN job.attempt ELSE job.attempt - 1 END,
           strikes = job.strikes + (%(strike)s AND judged.begun AND judged.alone)::int,
           finished_at = CASE WHEN judged.dead OR judged.unwanted THEN clock_timestamp() END,
           unique_key = CASE WHEN NOT (judged.dead OR judged.unwanted) OR (judged.begun AND job.unique_until > clock_timestamp())
                             THEN job.unique_key END,
           result = CASE WHEN NOT judged.dead THEN job.result END,
           error = CASE WHEN NOT judged.dead THEN job.error
                        WHEN judged.once THEN %(reason)s::text || ': it had begun, and on_lost=''dead_letter'' forbids a second start. '
                             'Check what it has done, then requeue it if it is to run again'
                        ELSE %(poison_error)s END,
           updated_at = clock_timestamp()
      FROM judged
     WHERE job.id = judged.id AND job.lease = %(token)s
    RETURNING job.id, job.epoch, job.attempt, job.started_at, judged.won_at, judged.begun, judged.node, judged.dead,
              job.finished_at IS NOT NULL AS over
), recorded AS (
    INSERT INTO jobs_attempt (job_id, epoch, number, worker, started_at, finished_at, "end", error)
    SELECT id, epoch, attempt, node, coalesce(started_at, won_at), clock_timestamp(), 'lost', %(reason)s
      FROM moved WHERE begun
)
SELECT count(*) FILTER (WHERE begun), count(*) FILTER (WHERE NOT begun), count(*) FILTER (WHERE dead),
       coalesce(array_agg(id) FILTER (WHERE over), '{}')
  FROM moved
