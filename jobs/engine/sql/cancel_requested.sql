-- cancel_requested: which of these running jobs someone wants to stop, and for how many seconds.
SELECT id, extract(epoch FROM clock_timestamp() - cancel_requested_at)::float8
  FROM jobs_job WHERE id = ANY(%(ids)s) AND cancel_requested_at IS NOT NULL AND lease IS NOT NULL
