-- tasks_of: which tasks these jobs are.
SELECT id, task FROM jobs_job WHERE id = ANY(%(ids)s)
