-- hold: lock these schedules as `take` does, but wait for whoever holds them; one that is gone is not returned.
-- The periodic task comes first, in the order of ids, as for whoever edits it.
WITH tasks AS MATERIALIZED (
    SELECT id FROM django_celery_beat_periodictask WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
)
SELECT s.periodic_task_id
  FROM schedules_schedule AS s JOIN tasks ON tasks.id = s.periodic_task_id
 ORDER BY s.periodic_task_id
   FOR NO KEY UPDATE OF s
