-- progress: what a running job says of itself. Under the lease: a stale worker reports nothing.
UPDATE jobs_job
   SET progress = %(progress)s::jsonb, state = 'running', started_at = coalesce(started_at, %(started_at)s),
       worker = %(node)s, updated_at = clock_timestamp()
 WHERE id = %(id)s AND lease = %(token)s
