-- unpause: of a schedule that is disabled: nothing was due, its next run is computed when it is enabled.
UPDATE schedules_schedule
   SET paused_at = NULL, paused_by = '', paused_reason = '', paused_until = NULL, streak_from = clock_timestamp()
 WHERE periodic_task_id = %(id)s
