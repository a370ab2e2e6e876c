-- unwon_of: lock the leases that hold one of these jobs and that no worker has won. One that somebody is just
-- winning or taking back is skipped: who holds a job's row must not wait for its lease.
SELECT token FROM jobs_lease
 WHERE won_at IS NULL
   AND token IN (SELECT lease FROM jobs_job WHERE id = ANY(%(ids)s) AND state = 'dispatched')
 ORDER BY token FOR UPDATE SKIP LOCKED
