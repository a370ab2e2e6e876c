-- fetch: arguments too long for the lease's payload.
SELECT id, args, kwargs FROM jobs_job WHERE id = ANY(%(ids)s) AND lease = %(token)s
