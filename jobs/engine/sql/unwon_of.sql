-- unwon_of: leases that hold one of these jobs and that no worker has won.
SELECT DISTINCT lease.token
  FROM jobs_job AS job JOIN jobs_lease AS lease ON lease.token = job.lease
 WHERE job.id = ANY(%(ids)s) AND job.state = 'dispatched' AND lease.won_at IS NULL
 ORDER BY lease.token
