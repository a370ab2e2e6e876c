-- behind: the jobs of a lease after its first %(begun)s, whether it still holds them or not. No row: the lease is over.
SELECT unnest(job_ids[%(begun)s::int + 1:]) FROM jobs_lease WHERE token = %(token)s
