-- waiting: how many jobs of a queue may run, or are set aside by a pause, and were not dispatched yet, to a limit.
SELECT count(*) FROM (
    SELECT FROM jobs_job WHERE state = 'pending' AND queue = %(queue)s
    UNION ALL
    SELECT FROM jobs_pause AS pause JOIN jobs_job AS job ON job.pause = pause.id
     WHERE job.state = 'paused' AND job.queue = %(queue)s
     LIMIT %(limit)s
) AS counted
