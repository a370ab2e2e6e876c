-- lanes: the pairs of task and queue that finished jobs have, in order; each is one step along the index.
WITH RECURSIVE lane AS (
    (SELECT task, queue FROM jobs_job WHERE finished_at IS NOT NULL ORDER BY task, queue LIMIT 1)
    UNION ALL
    SELECT next.task, next.queue
      FROM lane CROSS JOIN LATERAL (
               SELECT task, queue FROM jobs_job
                WHERE finished_at IS NOT NULL AND (task, queue) > (lane.task, lane.queue)
                ORDER BY task, queue LIMIT 1) AS next
)
SELECT task, queue FROM lane LIMIT %(limit)s
