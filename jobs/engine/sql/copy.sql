-- copy: write jobs of our own ids, as fast as PostgreSQL takes them.
COPY jobs_job (id, args, kwargs, task, name, queue, priority, max_retries, options, tags, reference_type, reference_id,
               created_by, state, rank, ready_at, run_at, expires_at, retry_until, created_at, updated_at)
FROM STDIN
