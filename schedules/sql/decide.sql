-- decide: write occurrences; one that is not returned was there already, and whoever wrote that has made its job.
INSERT INTO schedules_occurrence
       (schedule_id, due_at, last_due_at, count, kind, state, reason, job_id, run_at, waits_for, decided_at, actor)
SELECT schedule_id, due_at, last_due_at, count, kind, state, coalesce(reason, ''), job_id, run_at, waits_for,
       coalesce(decided_at, statement_timestamp()), coalesce(actor, '')
  FROM json_to_recordset(%(occurrences)s::json)
       AS new (schedule_id int, due_at timestamptz, last_due_at timestamptz, count int, kind text, state text,
               reason text, job_id uuid, run_at timestamptz, waits_for uuid, decided_at timestamptz, actor text)
ON CONFLICT DO NOTHING
RETURNING id, schedule_id, due_at
