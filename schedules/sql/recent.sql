-- recent: the jobs of the latest runs of schedules, the latest first, with their states; NULL: the job is gone.
SELECT ids.id, runs.job_id, j.state, runs.decided_at
  FROM unnest(%(ids)s::int[]) AS ids (id),
       LATERAL (SELECT o.id, o.job_id, o.decided_at FROM schedules_occurrence AS o
                 WHERE o.schedule_id = ids.id AND o.job_id IS NOT NULL
                 ORDER BY o.id DESC LIMIT %(most)s) AS runs
  LEFT JOIN jobs_job AS j ON j.id = runs.job_id
 ORDER BY ids.id, runs.id DESC
