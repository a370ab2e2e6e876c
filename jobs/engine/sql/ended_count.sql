-- ended_count: how many jobs ended in some of the states other than completed, counted up to %(limit)s.
SELECT count(*)
  FROM (SELECT 1 FROM jobs_job
         WHERE state IN ('cancelled', 'dead_letter', 'expired', 'failed') AND state = ANY (%(states)s::text[])
           AND created_at >= %(since)s::timestamptz AND created_at < %(until)s::timestamptz
         LIMIT %(limit)s) AS counted
