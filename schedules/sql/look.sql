-- look: what a beat has to know before it sleeps: the clock, the next time that something is due, whether a next run is
-- to be computed, when the next pause ends, and whether an occurrence waits for a job.
SELECT clock_timestamp(),
       (SELECT coalesce(retry_at, next_run_at) FROM schedules_schedule
         WHERE active AND paused_at IS NULL AND coalesce(retry_at, next_run_at) IS NOT NULL
         ORDER BY coalesce(retry_at, next_run_at) LIMIT 1),
       EXISTS (SELECT FROM schedules_schedule
                WHERE active AND paused_at IS NULL AND coalesce(retry_at, next_run_at) IS NULL),
       (SELECT min(paused_until) FROM schedules_schedule WHERE active AND paused_until IS NOT NULL),
       EXISTS (SELECT FROM schedules_occurrence WHERE state = 'waiting')
