-- dead_letter_queues: the queues that hold dead letters, by skipping from one to the next in their index.
WITH RECURSIVE found AS (
    (SELECT queue FROM jobs_job WHERE state IN ('dead_letter', 'failed') ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs_job WHERE state IN ('dead_letter', 'failed') AND queue > found.queue ORDER BY queue LIMIT 1)
      FROM found WHERE found.queue IS NOT NULL
)
SELECT found.queue, queue.dead_letter_cap, queue.dead_letter_days
  FROM found LEFT JOIN jobs_queue AS queue ON queue.name = found.queue
 WHERE found.queue IS NOT NULL
