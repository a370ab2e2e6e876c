-- forget_workers: drop boots that ended a day ago and hold no lease.
DELETE FROM jobs_worker AS worker
 WHERE coalesce(stopped_at, lost_at) < clock_timestamp() - interval '1 day'
   AND NOT EXISTS (SELECT FROM jobs_lease WHERE jobs_lease.worker = worker.id)
