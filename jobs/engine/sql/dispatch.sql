-- dispatch: lease jobs locked by `front`; each token's lease is filled with its jobs, in order, for the winner.
-- Arguments and options above 16 KiB stay in the job row (`fetch`), so that a carrier stays small.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH plan AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tokens)s::uuid[], %(places)s::real[]) WITH ORDINALITY AS plan (id, token, place, number)
), moved AS (
    UPDATE jobs_job AS job
       SET state = 'dispatched', lease = plan.token, attempt = job.attempt + 1, started_at = NULL, updated_at = clock_timestamp()
      FROM plan
     WHERE job.id = plan.id AND job.state LIKE 'pending'
    RETURNING plan.token, plan.place, plan.number, job.id, job.task, job.args, job.kwargs, job.options, job.attempt, job.retries, job.max_retries,
              job.priority, job.expires_at, job.retry_until, job.tags, job.reference_type, job.reference_id, job.chord,
              octet_length(job.args) + octet_length(job.kwargs) + coalesce(octet_length(job.options), 0) <= 16384 AS short
)
INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at, place)
SELECT token, %(queue)s, %(routing_key)s, array_agg(id ORDER BY number),
       json_agg(json_build_array(id, task, CASE WHEN short THEN args::json END, CASE WHEN short THEN kwargs::json END,
                                 CASE WHEN short THEN options::json END, attempt, retries, max_retries, priority,
                                 expires_at, retry_until, tags, reference_type, reference_id, chord IS NOT NULL)
                ORDER BY number)::text,
       clock_timestamp(), coalesce(min(place), 1)
  FROM moved GROUP BY token ORDER BY min(number)
RETURNING token
