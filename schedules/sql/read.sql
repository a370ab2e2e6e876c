-- read: all that decides about schedules which are locked: in a statement of its own, so it sees what was committed
-- before the locks were given.
SELECT s.periodic_task_id, p.name, p.task, p.args, p.kwargs, p.headers, p.queue, p.priority, p.expire_seconds,
       p.start_time, p.expires, p.one_off, p.enabled, p.total_run_count,
       i.every, i.period,
       c.minute, c.hour, c.day_of_week, c.day_of_month, c.month_of_year, c.timezone,
       n.event, n.latitude, n.longitude, k.clocked_time,
       s.anchor_at, s.edited_at, s.next_run_at, s.errors, s.overlap, s.misfire, s.misfire_cap, s.spread, s.window, s.jitter,
       s.max_runs, s.pause_after_failures, s.streak_from, s.paused_at, s.paused_by, s.paused_reason, s.paused_until,
       s.priority, s.timeout, s.max_retries, s.expires_after, s.unique_key, s.tags::text,
       EXISTS (SELECT FROM schedules_occurrence AS o
                WHERE o.schedule_id = s.periodic_task_id AND o.state = 'waiting')
  FROM schedules_schedule AS s
  JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id
  LEFT JOIN django_celery_beat_intervalschedule AS i ON i.id = p.interval_id
  LEFT JOIN django_celery_beat_crontabschedule AS c ON c.id = p.crontab_id
  LEFT JOIN django_celery_beat_solarschedule AS n ON n.id = p.solar_id
  LEFT JOIN django_celery_beat_clockedschedule AS k ON k.id = p.clocked_id
 WHERE s.periodic_task_id = ANY(%(ids)s)
