-- task_duration: mean seconds of one task's latest finished runs; NULL when it never ran.
-- A range of (task, finished_at) and that order: with `task =` a plan for any task walks the newest of all tasks.
SELECT avg(extract(epoch FROM finished_at - started_at))::float8
  FROM (SELECT started_at, finished_at FROM jobs_job
         WHERE (task, finished_at) >= (%(task)s, '-infinity') AND (task, finished_at) <= (%(task)s, 'infinity')
           AND finished_at IS NOT NULL AND started_at IS NOT NULL
         ORDER BY task DESC, finished_at DESC LIMIT 50) AS latest
