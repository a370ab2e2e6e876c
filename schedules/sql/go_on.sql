-- go_on: what became of an occurrence that waited.
UPDATE schedules_occurrence
   SET state = %(state)s, reason = %(reason)s, job_id = %(job_id)s, waits_for = %(waits_for)s,
       decided_at = statement_timestamp()
 WHERE id = %(id)s
