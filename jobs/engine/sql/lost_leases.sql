-- lost_leases: leases nobody will finish: never won in time, or won by a boot that is stopped or presumed dead.
-- Nobody is to blame for what a worker left behind that was told to stop.
SELECT lease.token, lease.won_at IS NOT NULL AS won, worker.stopping_at IS NULL AND worker.stopped_at IS NULL AS strike
  FROM jobs_lease AS lease
  LEFT JOIN jobs_worker AS worker ON worker.id = lease.worker
 WHERE (lease.won_at IS NULL AND lease.sent_at < clock_timestamp() - make_interval(secs => %(timeout)s))
    OR (lease.won_at IS NOT NULL AND (worker.id IS NULL OR worker.lost_at IS NOT NULL OR worker.stopped_at IS NOT NULL))
 ORDER BY lease.sent_at LIMIT %(limit)s
