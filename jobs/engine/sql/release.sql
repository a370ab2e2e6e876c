-- release: let the jobs go that wait for chords which are complete; the members' results take the placeholder's place.
-- Every second piece of `members`, cut at its quotes, is an id; a join with them would read the whole table.
-- Countdown and expiry count from now.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH complete AS MATERIALIZED (
    SELECT id, members FROM jobs_chord WHERE id = ANY(%(chords)s) AND done >= size
), waiting AS MATERIALIZED (
    SELECT job.id FROM jobs_job AS job
     WHERE job.state = 'blocked' AND job.after = ANY(SELECT id FROM complete)
     ORDER BY job.id FOR NO KEY UPDATE
), results AS MATERIALIZED (
    SELECT complete.id,
           string_agg(CASE WHEN place %% 2 = 1 THEN piece
                           ELSE coalesce((SELECT result FROM jobs_job WHERE id = piece::uuid), 'null') END, ''
                      ORDER BY place) AS value
      FROM complete
     CROSS JOIN LATERAL string_to_table(complete.members, '"') WITH ORDINALITY AS pieces (piece, place)
     GROUP BY complete.id
), told AS MATERIALIZED (
    SELECT job.id, results.value,
           coalesce(clock_timestamp() + make_interval(secs => (job.options::json->>'countdown')::float8), job.run_at) AS run_at,
           coalesce(clock_timestamp() + make_interval(secs => (job.options::json->>'expires')::float8), job.expires_at)
               AS expires_at
      FROM waiting JOIN jobs_job AS job ON job.id = waiting.id JOIN results ON results.id = job.after
)
UPDATE jobs_job AS job
   SET state = CASE WHEN told.run_at > clock_timestamp() THEN 'scheduled' ELSE 'pending' END,
       run_at = CASE WHEN told.run_at > clock_timestamp() THEN told.run_at END,
       expires_at = told.expires_at, after = NULL,
       args = CASE WHEN starts_with(job.args, '[' || %(placeholder)s)
                   THEN '[' || told.value || substr(job.args, length(%(placeholder)s) + 2) ELSE job.args END,
       options = regexp_replace(job.options, %(spoilt)s, '{'),
       ready_at = clock_timestamp(), updated_at = clock_timestamp(),
       rank = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - job.priority::bigint
            * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s)
  FROM told
 WHERE job.id = told.id AND job.state LIKE 'blocked'
RETURNING job.id
