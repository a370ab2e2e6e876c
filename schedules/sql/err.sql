-- err: the beat could not do its part for a schedule; it is tried again later, and sooner when somebody edits it.
UPDATE schedules_schedule
   SET error = %(error)s, errors = errors + 1, retry_at = %(retry_at)s
 WHERE periodic_task_id = %(id)s
