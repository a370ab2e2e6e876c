-- task_duration: mean seconds of one task's latest finished runs; NULL when it never ran.
SELECT avg(extract(epoch FROM finished_at - started_at))::float8
  FROM (SELECT started_at, finished_at FROM jobs_job
         WHERE task = %(task)s AND finished_at IS NOT NULL AND started_at IS NOT NULL
         ORDER BY finished_at DESC LIMIT 50) AS latest
