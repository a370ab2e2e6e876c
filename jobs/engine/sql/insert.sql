-- insert: write one job. A reused id of a finished job starts a new epoch of it; no row back means the id is live.
-- %(delay)s: seconds from the database's clock, or NULL; %(run_at)s: a moment, or NULL; likewise for expiry.
INSERT INTO jobs_job AS job
    (id, task, name, queue, state, priority, rank, ready_at, run_at, expires_at, max_retries, args, kwargs, options,
     tags, reference_type, reference_id, created_by, created_at, updated_at)
SELECT %(id)s, %(task)s, %(name)s, %(queue)s, CASE WHEN due.run_at > due.now THEN 'scheduled' ELSE 'pending' END,
       %(priority)s,
       (extract(epoch FROM greatest(due.run_at, due.now)) * 1000000)::bigint
           - %(priority)s::bigint * coalesce(queue.aging_us, %(aging_us)s),
       greatest(due.run_at, due.now), CASE WHEN due.run_at > due.now THEN due.run_at END,
       coalesce(%(expires_at)s::timestamptz, due.now + make_interval(secs => %(expires)s)),
       %(max_retries)s, %(args)s, %(kwargs)s, %(options)s, %(tags)s::jsonb, %(reference_type)s, %(reference_id)s,
       %(created_by)s, due.now, due.now
  FROM (SELECT clock.now, coalesce(%(run_at)s::timestamptz, clock.now + make_interval(secs => %(delay)s)) AS run_at
          FROM (SELECT clock_timestamp() AS now) AS clock) AS due
  LEFT JOIN jobs_queue AS queue ON queue.name = %(queue)s
ON CONFLICT (id) DO UPDATE
   SET epoch = job.epoch + 1, task = excluded.task, name = excluded.name, queue = excluded.queue,
       state = excluded.state, priority = excluded.priority, rank = excluded.rank, ready_at = excluded.ready_at,
       run_at = excluded.run_at, expires_at = excluded.expires_at, max_retries = excluded.max_retries,
       args = excluded.args, kwargs = excluded.kwargs, options = excluded.options, tags = excluded.tags,
       reference_type = excluded.reference_type, reference_id = excluded.reference_id,
       created_by = excluded.created_by, created_at = excluded.created_at, updated_at = excluded.updated_at,
       attempt = 0, retries = 0, strikes = 0, result = NULL, error = NULL, progress = NULL, worker = NULL,
       started_at = NULL, finished_at = NULL, cancel_requested_at = NULL
 WHERE job.finished_at IS NOT NULL
RETURNING id
