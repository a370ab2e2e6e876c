-- win: take a lease for a worker that is alive. No row back: it was won, returned or never existed; run nothing.
-- The same receipt wins again: the first reply may have been lost with the connection.
-- A job that is alone in a whole place is marked running here, it is slow or unknown; short ones go from dispatched to
-- their end.
WITH won AS (
    UPDATE jobs_lease AS lease
       SET won_at = clock_timestamp(), worker = %(worker)s, receipt = %(receipt)s
     WHERE lease.token = %(token)s AND (lease.won_at IS NULL OR lease.receipt = %(receipt)s)
       AND EXISTS (SELECT FROM jobs_worker WHERE id = %(worker)s AND lost_at IS NULL AND stopped_at IS NULL)
    RETURNING lease.token, lease.queue, lease.job_ids, lease.payload, lease.won_at, cardinality(lease.job_ids) = 1 AND lease.place >= 1 AS shown
), started AS (
    UPDATE jobs_job AS job
       SET state = 'running', started_at = won.won_at, worker = %(node)s, updated_at = won.won_at
      FROM won
     WHERE won.shown AND job.id = won.job_ids[1] AND job.lease = won.token
       AND job.state IN ('dispatched', 'running')
)
SELECT queue, payload, won_at, shown FROM won
