-- requeue: give finished jobs a new epoch. An id not returned was not in one of the states it may leave, or the unique
-- key of its call is another job's by now: of several that have one key the first asked for gets it.
-- One that waited for a chord waits again, until the chord is judged anew. One that waits for itself never began, because
-- a job before it failed: that one brings it back.
-- %(delays)s: seconds until each may start; 0 is now. %(args)s, %(kwargs)s: new arguments, NULL keeps the old.
WITH asked AS MATERIALIZED (
    SELECT id, delay, place, clock_timestamp() + make_interval(secs => delay) AS start_at
      FROM unnest(%(ids)s::uuid[], %(delays)s::float8[]) WITH ORDINALITY AS asked (id, delay, place)
), chosen AS MATERIALIZED (
    SELECT job.id, job.task, job.args, job.kwargs, coalesce(job.unique_key, job.given_key) AS key,
           asked.delay, asked.place, asked.start_at
      FROM asked JOIN jobs_job AS job ON job.id = asked.id
     WHERE job.state = ANY(%(sources)s) AND (job.after IS NULL OR job.after <> job.id)
     ORDER BY job.id FOR NO KEY UPDATE OF job
), free AS MATERIALIZED (
    SELECT DISTINCT ON (task, key, CASE WHEN key IS NULL THEN id END) * FROM chosen
     WHERE NOT EXISTS (SELECT FROM jobs_job AS holder
                        WHERE holder.task = chosen.task AND holder.unique_key = chosen.key AND holder.id <> chosen.id)
     ORDER BY task, key, CASE WHEN key IS NULL THEN id END, place
), moved AS (
    UPDATE jobs_job AS job
       SET state = CASE WHEN job.after IS NOT NULL THEN 'blocked' WHEN free.delay > 0 THEN 'scheduled' ELSE 'pending' END,
           run_at = CASE WHEN free.delay > 0 THEN free.start_at END, retry_until = NULL,
           epoch = job.epoch + 1, attempt = 0, retries = 0, strikes = 0, expires_at = NULL,
           result = NULL, error = NULL, progress = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL,
           unique_key = free.key,
           args = coalesce(%(args)s::text, job.args), kwargs = coalesce(%(kwargs)s::text, job.kwargs),
           ready_at = free.start_at, updated_at = clock_timestamp(),
           rank = (extract(epoch FROM free.start_at) * 1000000)::bigint - job.priority::bigint
                * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s::bigint)
      FROM free WHERE job.id = free.id
    RETURNING job.id, free.args AS old_args, free.kwargs AS old_kwargs, free.delay
), audited AS (
    INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
    SELECT %(actor)s, 'requeue', 'job', id::text, jsonb_strip_nulls(jsonb_build_object(
               'reason', %(reason)s::text, 'delay', nullif(delay, 0),
               'args', CASE WHEN %(args)s::text <> old_args THEN jsonb_build_object(
                           'from', left(old_args, %(kept)s), 'to', left(%(args)s::text, %(kept)s)) END,
               'kwargs', CASE WHEN %(kwargs)s::text <> old_kwargs THEN jsonb_build_object(
                           'from', left(old_kwargs, %(kept)s), 'to', left(%(kwargs)s::text, %(kept)s)) END)),
           %(ip)s::inet
      FROM moved
)
SELECT id FROM moved
