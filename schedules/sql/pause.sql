-- pause: one that is paused already keeps its beginning.
UPDATE schedules_schedule
   SET paused_at = coalesce(paused_at, clock_timestamp()), paused_by = %(by)s, paused_reason = %(reason)s,
       paused_until = %(until)s
 WHERE periodic_task_id = %(id)s
