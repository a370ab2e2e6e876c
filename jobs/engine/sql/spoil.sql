-- spoil: let the jobs go that wait for chords which can't complete; `chord_error` in their options makes them fail.
-- They keep `after`, so that a requeue judges the chord anew.
-- LIKE, as `=` would let the planner walk the partial index of such jobs for every one of these.
WITH waiting AS MATERIALIZED (
    SELECT id FROM jobs_job
     WHERE state = 'blocked' AND after = ANY(%(chords)s) ORDER BY id FOR NO KEY UPDATE
), told AS MATERIALIZED (
    SELECT job.id, regexp_replace(coalesce(job.options, '{}'), %(spoilt)s, '{') AS options,
           format('Dependency %%s raised %%s%%s', culprit.id,
                  CASE WHEN culprit.state IN ('cancelled', 'expired') THEN 'TaskRevokedError: ' END,
                  coalesce(culprit.error, culprit.state)) AS reason
      FROM waiting JOIN jobs_job AS job ON job.id = waiting.id
     CROSS JOIN LATERAL (
           SELECT id, state, error FROM jobs_job AS member
            WHERE member.chord = job.after AND member.state IN ('cancelled', 'dead_letter', 'expired', 'failed')
            ORDER BY finished_at, id LIMIT 1) AS culprit
)
UPDATE jobs_job AS job
   SET state = 'pending', run_at = NULL, expires_at = NULL,
       options = format('{"chord_error": %%s%%s%%s', to_json(told.reason), CASE WHEN told.options = '{}' THEN '' ELSE ', ' END,
                        substr(told.options, 2)),
       ready_at = clock_timestamp(), updated_at = clock_timestamp(),
       rank = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - job.priority::bigint
            * coalesce((SELECT aging_us FROM jobs_queue WHERE name = job.queue), %(aging_us)s)
  FROM told
 WHERE job.id = told.id AND job.state LIKE 'blocked'
RETURNING job.id
