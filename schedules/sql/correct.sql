-- correct: occurrences whose call was refused after all, or was joined to the job that holds its unique key.
UPDATE schedules_occurrence AS o
   SET state = new.state, reason = coalesce(new.reason, ''), job_id = new.job_id
  FROM json_to_recordset(%(occurrences)s::json) AS new (id bigint, state text, reason text, job_id uuid)
 WHERE o.id = new.id
