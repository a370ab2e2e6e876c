-- insert_all: write jobs of any kind. A reused id of a finished job starts a new epoch of it; an id not returned is live.
-- A blocked job that waits for itself was replaced: the new job takes its place. So does the new epoch of a member that
-- did not complete: its chord still counts on that id, and nobody else would ever let the body go.
-- %(jobs)s: JSON array of objects; what one does not name is NULL. One text is much cheaper to pass than 23 arrays.
-- delay, run_at: seconds from the database's clock or a moment, NULL for now; likewise for the expiry.
INSERT INTO jobs_job AS job
    (id, task, name, queue, state, priority, rank, ready_at, run_at, expires_at, max_retries, args, kwargs, options,
     tags, reference_type, reference_id, created_by, chord, after, retry_until, unique_key, given_key, unique_until,
     created_at, updated_at)
SELECT id, task, name, queue,
       CASE WHEN after IS NOT NULL THEN 'blocked' WHEN due > now THEN 'scheduled' ELSE 'pending' END, priority,
       (extract(epoch FROM greatest(due, now)) * 1000000)::bigint - lead,
       greatest(due, now), CASE WHEN due > now THEN due END,
       coalesce(expires_at, now + make_interval(secs => expires)), max_retries, args, kwargs, options,
       tags::jsonb, reference_type, reference_id, created_by, chord, after,
       now + make_interval(secs => retry_for), unique_key, unique_key,
       CASE WHEN unique_key IS NOT NULL THEN now + make_interval(secs => unique_for) END, now, now
  FROM (SELECT new.*, statement_timestamp() AS now,
               coalesce(new.run_at, statement_timestamp() + make_interval(secs => new.delay)) AS due
          FROM json_to_recordset(%(jobs)s::json) AS new (
                   id uuid, task text, name text, queue text, priority int, lead bigint, delay float8,
                   run_at timestamptz, expires float8, expires_at timestamptz, max_retries int, args text, kwargs text,
                   options text, tags text, reference_type text, reference_id text, created_by text, chord uuid,
                   after uuid, retry_for float8, unique_key text, unique_for float8)) AS new
ON CONFLICT (id) DO UPDATE
   SET epoch = job.epoch + 1, task = excluded.task, name = excluded.name, queue = excluded.queue,
       state = excluded.state, priority = excluded.priority, rank = excluded.rank, ready_at = excluded.ready_at,
       run_at = excluded.run_at, expires_at = excluded.expires_at, max_retries = excluded.max_retries,
       args = excluded.args, kwargs = excluded.kwargs, options = excluded.options, tags = excluded.tags,
       reference_type = excluded.reference_type, reference_id = excluded.reference_id,
       created_by = excluded.created_by,
       chord = coalesce(excluded.chord, CASE WHEN job.state <> 'completed' THEN job.chord END), after = excluded.after,
       retry_until = excluded.retry_until, unique_key = excluded.unique_key, given_key = excluded.given_key,
       unique_until = excluded.unique_until,
       created_at = excluded.created_at, updated_at = excluded.updated_at,
       attempt = 0, retries = 0, strikes = 0, result = NULL, error = NULL, progress = NULL, children = NULL,
       worker = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL
 WHERE job.finished_at IS NOT NULL OR (job.state = 'blocked' AND job.after = job.id)
RETURNING id
