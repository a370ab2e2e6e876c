-- ready_queues: the queues that have a pending job, by skipping from one to the next in the ready index.
-- `known` is false for a queue that has no row yet; `paused` queues are left out by the caller. The last column says
-- whether any task, key or tag is paused.
WITH RECURSIVE found AS (
    (SELECT queue FROM jobs_job WHERE state = 'pending' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs_job WHERE state = 'pending' AND queue > found.queue ORDER BY queue LIMIT 1)
      FROM found WHERE found.queue IS NOT NULL
)
SELECT found.queue, queue.paused_at IS NOT NULL AS paused, queue.name IS NOT NULL AS known, coalesce(queue.weight, 1),
       EXISTS (SELECT FROM jobs_pause)
  FROM found LEFT JOIN jobs_queue AS queue ON queue.name = found.queue
 WHERE found.queue IS NOT NULL
