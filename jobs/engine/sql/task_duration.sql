-- task_duration: mean seconds of one task's latest finished runs; NULL when it never ran.
-- Latest by their calls, some of each queue that it ran in: that is the order that an index keeps of its jobs.
-- An array of one task, and the index's whole order: with `task =` a plan may walk the newest of all tasks.
WITH RECURSIVE lane AS (
    (SELECT task, queue FROM jobs_job
      WHERE finished_at IS NOT NULL AND (task, queue) >= (%(task)s, '') AND task <= %(task)s
      ORDER BY task, queue LIMIT 1)
    UNION ALL
    SELECT next.task, next.queue
      FROM lane CROSS JOIN LATERAL (
               SELECT task, queue FROM jobs_job
                WHERE finished_at IS NOT NULL AND (task, queue) > (lane.task, lane.queue) AND task <= lane.task
                ORDER BY task, queue LIMIT 1) AS next
)
SELECT avg(extract(epoch FROM finished_at - started_at))::float8
  FROM (SELECT job.started_at, job.finished_at
          FROM (SELECT * FROM lane LIMIT 100) AS lane
         CROSS JOIN LATERAL (
                   SELECT created_at, started_at, finished_at FROM jobs_job
                    WHERE task = ANY (ARRAY[lane.task]) AND queue = lane.queue
                      AND finished_at IS NOT NULL AND started_at IS NOT NULL
                    ORDER BY task DESC, queue DESC, created_at DESC LIMIT 50) AS job
         ORDER BY job.created_at DESC LIMIT 50) AS latest
