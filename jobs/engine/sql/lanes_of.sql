-- lanes_of: like `lanes`, of these tasks only, however many there are of others.
WITH RECURSIVE lane AS (
    SELECT first.task, first.queue
      FROM unnest(%(tasks)s::text[]) AS wanted (task) CROSS JOIN LATERAL (
               SELECT task, queue FROM jobs_job
                WHERE finished_at IS NOT NULL AND (task, queue) >= (wanted.task, '') AND task <= wanted.task
                ORDER BY task, queue LIMIT 1) AS first
    UNION ALL
    SELECT next.task, next.queue
      FROM lane CROSS JOIN LATERAL (
               SELECT task, queue FROM jobs_job
                WHERE finished_at IS NOT NULL AND (task, queue) > (lane.task, lane.queue) AND task <= lane.task
                ORDER BY task, queue LIMIT 1) AS next
)
SELECT task, queue FROM lane LIMIT %(limit)s
