-- latest: the latest occurrences of schedules (before the one named, if any), the latest first, each with its job;
-- its columns are NULL where there is none any more.
SELECT ids.id, o.id, o.due_at, o.last_due_at, o.count, o.kind, o.state, o.reason, o.job_id, o.run_at, o.decided_at,
       o.actor, j.state, j.started_at, j.finished_at, left(j.error, 300)
  FROM unnest(%(ids)s::int[]) AS ids (id),
       LATERAL (SELECT * FROM schedules_occurrence AS o
                 WHERE o.schedule_id = ids.id AND (%(before)s::bigint IS NULL OR o.id < %(before)s::bigint)
                 ORDER BY o.id DESC LIMIT %(most)s) AS o
  LEFT JOIN jobs_job AS j ON j.id = o.job_id
 ORDER BY ids.id, o.id DESC
