-- join: add due times to the latest occurrence of their schedule, if the same was decided of it for the same reason.
-- Returns the schedules where it was; the others get an occurrence of their own.
UPDATE schedules_occurrence AS o
   SET count = o.count + new.count, last_due_at = new.last_due_at, decided_at = statement_timestamp()
  FROM json_to_recordset(%(occurrences)s::json)
       AS new (schedule_id int, last_due_at timestamptz, count int, state text, reason text)
 WHERE o.id = (SELECT latest.id FROM schedules_occurrence AS latest
                WHERE latest.schedule_id = new.schedule_id AND latest.kind = 'schedule'
                ORDER BY latest.id DESC LIMIT 1)
   AND o.state = new.state AND o.reason = new.reason
RETURNING o.schedule_id
