-- take: lock up to %(limit)s schedules that are due, whose next run is to be computed, or whose pause ends.
-- The periodic task is locked with its companion: whoever edits it holds that lock first and then waits for the
-- companion's, so a beat that waited in between would make a deadlock. What somebody else holds is passed by.
WITH due AS MATERIALIZED (
    SELECT s.periodic_task_id AS id
      FROM schedules_schedule AS s JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id
     WHERE s.active AND s.paused_at IS NULL AND coalesce(s.retry_at, s.next_run_at) <= %(now)s
     ORDER BY coalesce(s.retry_at, s.next_run_at)
     LIMIT %(limit)s
       FOR NO KEY UPDATE OF s, p SKIP LOCKED
), fresh AS MATERIALIZED (
    SELECT s.periodic_task_id AS id
      FROM schedules_schedule AS s JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id
     WHERE s.active AND s.paused_at IS NULL AND coalesce(s.retry_at, s.next_run_at) IS NULL
     LIMIT %(limit)s - (SELECT count(*) FROM due)
       FOR NO KEY UPDATE OF s, p SKIP LOCKED
), resuming AS MATERIALIZED (
    SELECT s.periodic_task_id AS id
      FROM schedules_schedule AS s JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id
     WHERE s.active AND s.paused_until <= %(now)s
     LIMIT %(limit)s - (SELECT count(*) FROM due) - (SELECT count(*) FROM fresh)
       FOR NO KEY UPDATE OF s, p SKIP LOCKED
)
SELECT id FROM due UNION ALL SELECT id FROM fresh UNION ALL SELECT id FROM resuming
