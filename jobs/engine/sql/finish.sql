-- finish: record the outcomes of a lease's jobs with one attempt row each. An id not returned is stale or locked.
-- Back come id and state of each, and the chord that it made complete. Chords are locked after jobs, in their order.
-- The lease goes first, as everywhere, so that this and `lose` never wait for each other; %(done)s ends it.
-- A job that someone wanted to cancel is not retried. A snoozed one (it becomes scheduled) did not spend its attempt:
-- its number is free again, so there is no row of it, and what the last failure said stands.
-- The guard is the lease alone: a guard on `state` would make the planner walk a partial index full of dead entries.
WITH closed AS (
    DELETE FROM jobs_lease WHERE token = %(token)s AND %(done)s RETURNING token
), outcome AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(states)s::text[], %(ends)s::text[], %(started)s::timestamptz[], %(finished)s::timestamptz[],
        %(results)s::text[], %(errors)s::text[], %(tracebacks)s::text[], %(delays)s::float8[], %(spent)s::int[],
        %(args)s::text[], %(kwargs)s::text[], %(queues)s::text[], %(priorities)s::int[], %(options)s::text[],
        %(progress)s::text[], %(children)s::text[], %(final)s::bool[]
    ) AS outcome (id, state, ending, started_at, finished_at, result, error, traceback, delay, spent,
                  args, kwargs, queue, priority, options, progress, children, final)
    ORDER BY id
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN outcome.final OR job.cancel_requested_at IS NULL THEN outcome.state ELSE 'cancelled' END,
           lease = NULL, worker = %(node)s,
           attempt = job.attempt - (outcome.state = 'scheduled' AND job.cancel_requested_at IS NULL)::int,
           retries = job.retries + outcome.spent,
           started_at = outcome.started_at,
           finished_at = CASE WHEN outcome.final OR job.cancel_requested_at IS NOT NULL THEN outcome.finished_at END,
           run_at = CASE WHEN outcome.state IN ('retrying', 'scheduled') AND job.cancel_requested_at IS NULL
                         THEN clock_timestamp() + make_interval(secs => coalesce(outcome.delay, 0)) END,
           result = CASE WHEN outcome.state = 'scheduled' THEN job.result ELSE outcome.result END,
           error = CASE WHEN outcome.state = 'scheduled' THEN coalesce(outcome.error, job.error) ELSE outcome.error END,
           args = coalesce(outcome.args, job.args), kwargs = coalesce(outcome.kwargs, job.kwargs),
           queue = coalesce(outcome.queue, job.queue), priority = coalesce(outcome.priority, job.priority),
           options = coalesce(outcome.options, job.options),
           progress = coalesce(outcome.progress::jsonb, job.progress),
           children = coalesce(outcome.children, job.children),
           after = CASE WHEN outcome.state = 'blocked' THEN job.id ELSE job.after END,
           unique_key = CASE WHEN (NOT outcome.final AND job.cancel_requested_at IS NULL) OR job.unique_until > clock_timestamp()
                             THEN job.unique_key END,
           updated_at = clock_timestamp()
      FROM outcome
     WHERE job.id = outcome.id AND job.lease = %(token)s AND (SELECT count(*) FROM closed) >= 0
    RETURNING job.id, job.state, job.chord, job.epoch, job.attempt, outcome.started_at, outcome.finished_at, outcome.ending,
              outcome.error, outcome.traceback
), recorded AS (
    INSERT INTO jobs_attempt (job_id, epoch, number, worker, started_at, finished_at, "end", error, traceback)
    SELECT id, epoch, attempt, %(node)s, started_at, finished_at, ending, error, traceback FROM moved
     WHERE state <> 'scheduled'
), counted AS (
    SELECT chord, count(*) AS times FROM moved WHERE chord IS NOT NULL AND state = 'completed' GROUP BY chord
), locked AS MATERIALIZED (
    SELECT chord.id FROM jobs_chord AS chord JOIN counted ON counted.chord = chord.id
     ORDER BY chord.id FOR NO KEY UPDATE OF chord
), advanced AS (
    UPDATE jobs_chord AS chord SET done = chord.done + counted.times
      FROM counted JOIN locked ON locked.id = counted.chord
     WHERE chord.id = counted.chord
    RETURNING chord.id, chord.done >= chord.size AS complete
)
SELECT moved.id, moved.state, advanced.id FROM moved LEFT JOIN advanced ON advanced.id = moved.chord AND advanced.complete
