-- ended_keys: the newest jobs that ended in some of the states other than completed, behind a place in the lists.
SELECT job.created_at, job.id
  FROM unnest(%(states)s::text[]) AS wanted (state)
 CROSS JOIN LATERAL (
           SELECT created_at, id FROM jobs_job
            WHERE state IN ('cancelled', 'dead_letter', 'expired', 'failed')
              AND (state, created_at, id) < (wanted.state, %(created_at)s::timestamptz, %(id)s::uuid)
              AND (state, created_at) >= (wanted.state, %(since)s::timestamptz)
            ORDER BY state DESC, created_at DESC, id DESC LIMIT %(limit)s) AS job
 ORDER BY job.created_at DESC, job.id DESC LIMIT %(limit)s
