-- finish: record the outcomes of a lease's jobs with one attempt row each. An id not returned is stale or locked.
-- The lease goes first, as everywhere, so that this and `lose` never wait for each other; %(done)s ends it.
-- A job that someone wanted to cancel is not retried.
-- The guard is the lease alone: a guard on `state` would make the planner walk a partial index full of dead entries.
WITH closed AS (
    DELETE FROM jobs_lease WHERE token = %(token)s AND %(done)s RETURNING token
), outcome AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(states)s::text[], %(ends)s::text[], %(started)s::timestamptz[], %(finished)s::timestamptz[],
        %(results)s::text[], %(errors)s::text[], %(tracebacks)s::text[], %(delays)s::float8[], %(spent)s::int[],
        %(args)s::text[], %(kwargs)s::text[], %(progress)s::text[], %(final)s::bool[]
    ) AS outcome (id, state, ending, started_at, finished_at, result, error, traceback, delay, spent,
                  args, kwargs, progress, final)
    ORDER BY id
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN outcome.final OR job.cancel_requested_at IS NULL THEN outcome.state ELSE 'cancelled' END,
           lease = NULL, worker = %(node)s,
           retries = job.retries + outcome.spent,
           started_at = outcome.started_at,
           finished_at = CASE WHEN outcome.final OR job.cancel_requested_at IS NOT NULL THEN outcome.finished_at END,
           run_at = CASE WHEN NOT outcome.final AND job.cancel_requested_at IS NULL
                         THEN clock_timestamp() + make_interval(secs => coalesce(outcome.delay, 0)) END,
           result = outcome.result, error = outcome.error,
           args = coalesce(outcome.args, job.args), kwargs = coalesce(outcome.kwargs, job.kwargs),
           progress = coalesce(outcome.progress::jsonb, job.progress),
           unique_key = CASE WHEN NOT outcome.final AND job.cancel_requested_at IS NULL THEN job.unique_key END,
           updated_at = clock_timestamp()
      FROM outcome
     WHERE job.id = outcome.id AND job.lease = %(token)s AND (SELECT count(*) FROM closed) >= 0
    RETURNING job.id, job.epoch, job.attempt, outcome.started_at, outcome.finished_at, outcome.ending,
              outcome.error, outcome.traceback
), recorded AS (
    INSERT INTO jobs_attempt (job_id, epoch, number, worker, started_at, finished_at, "end", error, traceback)
    SELECT id, epoch, attempt, %(node)s, started_at, finished_at, ending, error, traceback FROM moved
)
SELECT id FROM moved
