-- durations: mean seconds of the latest finished runs, by task.
SELECT task, avg(extract(epoch FROM finished_at - started_at))::float8
  FROM (SELECT task, started_at, finished_at FROM jobs_job
         WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT %(limit)s) AS latest
 WHERE started_at IS NOT NULL
 GROUP BY task
