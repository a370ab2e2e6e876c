-- settle: how schedules stand after a look: next run, pause, failures in a row. An error that they had is over.
UPDATE schedules_schedule AS s
   SET next_run_at = new.next_run_at, active = s.active AND NOT new.is_over, failure_streak = new.streak,
       retry_at = NULL, error = '', errors = 0,
       streak_from = CASE WHEN s.paused_at IS NOT NULL AND new.paused_at IS NULL THEN statement_timestamp()
                          ELSE s.streak_from END,
       paused_at = new.paused_at, paused_by = coalesce(new.paused_by, ''),
       paused_reason = coalesce(new.paused_reason, ''), paused_until = new.paused_until
  FROM json_to_recordset(%(schedules)s::json)
       AS new (id int, next_run_at timestamptz, is_over bool, streak int, paused_at timestamptz, paused_by text,
               paused_reason text, paused_until timestamptz)
 WHERE s.periodic_task_id = new.id
