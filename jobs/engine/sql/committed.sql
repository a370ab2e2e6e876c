-- committed: which of these jobs this connection sees.
SELECT id FROM jobs_job WHERE id = ANY(%(ids)s)
