-- count: what django-celery-beat tells of its periodic tasks: last run and count; what is over is disabled.
UPDATE django_celery_beat_periodictask AS p
   SET last_run_at = CASE WHEN new.runs > 0 THEN %(now)s ELSE p.last_run_at END,
       total_run_count = p.total_run_count + new.runs, enabled = p.enabled AND NOT new.is_over
  FROM json_to_recordset(%(schedules)s::json) AS new (id int, runs int, is_over bool)
 WHERE p.id = new.id
