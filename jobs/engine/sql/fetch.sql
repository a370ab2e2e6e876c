-- fetch: arguments and options too long for the lease's payload.
SELECT id, args, kwargs, options FROM jobs_job WHERE id = ANY(%(ids)s) AND lease = %(token)s
