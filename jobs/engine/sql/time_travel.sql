-- time_travel: let %(seconds)s pass for all jobs, their attempts and chords: every moment moves into the past. For tests.
WITH passed AS (
    SELECT make_interval(secs => %(seconds)s) AS time
), attempts AS (
    UPDATE jobs_attempt SET started_at = started_at - passed.time, finished_at = finished_at - passed.time FROM passed
), chords AS (
    UPDATE jobs_chord SET created_at = created_at - passed.time FROM passed
)
UPDATE jobs_job
   SET rank = rank - (extract(epoch FROM passed.time) * 1000000)::bigint,
       ready_at = ready_at - passed.time, run_at = run_at - passed.time, expires_at = expires_at - passed.time,
       unique_until = unique_until - passed.time, retry_until = retry_until - passed.time,
       cancel_requested_at = cancel_requested_at - passed.time, created_at = created_at - passed.time,
       updated_at = updated_at - passed.time, started_at = started_at - passed.time,
       finished_at = finished_at - passed.time
  FROM passed
