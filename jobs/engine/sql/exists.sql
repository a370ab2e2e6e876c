-- exists: whether this connection sees a job.
SELECT EXISTS (SELECT FROM jobs_job WHERE id = %(id)s)
