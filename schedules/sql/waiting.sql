-- waiting: lock occurrences whose awaited job is over, with their schedules as `take` does.
SELECT o.id, o.schedule_id, o.due_at
  FROM schedules_occurrence AS o
  JOIN schedules_schedule AS s ON s.periodic_task_id = o.schedule_id
  JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id
 WHERE o.state = 'waiting'
   AND NOT EXISTS (SELECT FROM jobs_job AS j WHERE j.id = o.waits_for AND j.finished_at IS NULL)
 ORDER BY o.id
 LIMIT %(limit)s
   FOR NO KEY UPDATE OF s, p, o SKIP LOCKED
