-- adopt: give the leased jobs in a stretch of the table whose lease is gone a lease again, which `lose` then takes back.
-- A stretch of pages, because no index knows the leased jobs: it would cost every job more than all of these looks.
-- One snapshot for both tables: a claim and a finish change them in one transaction, so neither looks like a loss.
INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at, won_at)
SELECT job.lease, min(job.queue), '', array_agg(job.id ORDER BY job.id), '[]', clock_timestamp(), clock_timestamp()
  FROM jobs_job AS job
 WHERE job.ctid >= %(first)s::tid AND job.ctid < %(last)s::tid AND job.lease IS NOT NULL
   AND NOT EXISTS (SELECT FROM jobs_lease AS lease WHERE lease.token = job.lease)
 GROUP BY job.lease
ON CONFLICT (token) DO NOTHING
RETURNING token
