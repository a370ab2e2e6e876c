-- abandon: store the steps that never came, because a step before them failed, as failed. A live id keeps its row.
-- They wait for themselves: the step that failed makes them anew when it is run again and completes.
INSERT INTO jobs_job AS job
    (id, task, queue, state, priority, rank, ready_at, args, kwargs, options, max_retries, chord, after, result, error,
     created_at, updated_at, finished_at)
SELECT step.*, step.id, %(result)s, %(error)s, clock_timestamp(), clock_timestamp(), clock_timestamp()
  FROM (SELECT id, task, queue, 'failed' AS state, priority, 0 AS rank, clock_timestamp() AS ready_at, args, kwargs,
               options, 0 AS max_retries, chord
          FROM unnest(%(ids)s::uuid[], %(tasks)s::text[], %(queues)s::text[], %(priorities)s::int[], %(args)s::text[],
                      %(kwargs)s::text[], %(options)s::text[], %(chords)s::uuid[])
               AS step (id, task, queue, priority, args, kwargs, options, chord)
         ORDER BY id) AS step
ON CONFLICT (id) DO UPDATE
   SET epoch = job.epoch + 1, task = excluded.task, queue = excluded.queue, state = excluded.state,
       priority = excluded.priority, args = excluded.args, kwargs = excluded.kwargs, options = excluded.options,
       chord = excluded.chord, after = excluded.after, result = excluded.result, error = excluded.error, attempt = 0,
       retries = 0, strikes = 0, progress = NULL, children = NULL, worker = NULL, run_at = NULL, expires_at = NULL,
       started_at = NULL, unique_key = NULL, updated_at = excluded.updated_at, finished_at = excluded.finished_at
 WHERE job.finished_at IS NOT NULL OR (job.state = 'blocked' AND job.after = job.id)
RETURNING id
