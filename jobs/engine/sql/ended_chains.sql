-- ended_chains: jobs that ended without completing while later steps of a chain were to follow.
SELECT id, task, queue, priority, state, error, result, options
  FROM jobs_job
 WHERE id = ANY(%(ids)s) AND finished_at IS NOT NULL AND state <> 'completed' AND options LIKE '%%"chain": [%%'
 ORDER BY id
