-- lane_count: how many finished jobs some lanes (pairs of task and queue) have, counted up to %(limit)s.
SELECT count(*)
  FROM (SELECT 1
          FROM unnest(%(tasks)s::text[], %(queues)s::text[]) AS lane (task, queue)
         CROSS JOIN LATERAL (
                   SELECT 1 FROM jobs_job
                    WHERE finished_at IS NOT NULL AND task = lane.task AND queue = lane.queue
                      AND created_at >= %(since)s::timestamptz AND created_at < %(until)s::timestamptz
                    LIMIT %(limit)s) AS job
         LIMIT %(limit)s) AS counted
