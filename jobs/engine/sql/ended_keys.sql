-- ended_keys: the newest jobs that ended in some of the states other than completed, behind a place in the lists.
SELECT job.created_at, job.id
  FROM unnest(%(states)s::text[]) AS wanted (state)
 CROSS JOIN LATERAL (
           SELECT created_at, id FROM jobs_job
            WHERE state IN ('cancelled', 'dead_letter', 'expired', 'failed') AND state = wanted.state
              AND (created_at, id) < (%(created_at)s::timestamptz, %(id)s::uuid)
              AND created_at >= %(since)s::timestamptz
            ORDER BY created_at DESC, id DESC LIMIT %(limit)s) AS job
 ORDER BY job.created_at DESC, job.id DESC LIMIT %(limit)s
