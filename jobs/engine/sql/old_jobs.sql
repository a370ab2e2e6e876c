-- old_jobs: the next finished jobs behind a moment that are older than %(days)s days, oldest first, whatever their end.
-- statement_timestamp(), as clock_timestamp() is no bound for an index: all that waits would be read to find what is due.
SELECT id, finished_at, state FROM jobs_job
 WHERE finished_at IS NOT NULL AND (finished_at, id) > (%(finished_at)s::timestamptz, %(id)s::uuid)
   AND finished_at < statement_timestamp() - make_interval(days => %(days)s)
 ORDER BY finished_at, id LIMIT %(limit)s
