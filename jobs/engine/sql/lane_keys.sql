-- lane_keys: the newest finished jobs of some lanes (pairs of task and queue) behind a place in the lists.
SELECT job.created_at, job.id
  FROM unnest(%(tasks)s::text[], %(queues)s::text[]) AS lane (task, queue)
 CROSS JOIN LATERAL (
           SELECT created_at, id FROM jobs_job
            WHERE finished_at IS NOT NULL AND task = lane.task AND queue = lane.queue
              AND (created_at, id) < (%(created_at)s::timestamptz, %(id)s::uuid)
              AND created_at >= %(since)s::timestamptz
            ORDER BY created_at DESC, id DESC LIMIT %(limit)s) AS job
 ORDER BY job.created_at DESC, job.id DESC LIMIT %(limit)s
