-- old_dead_letters: dead letters of a queue that are older than %(days)s days; NULL: none is.
-- statement_timestamp(), as clock_timestamp() is no bound for an index: all that waits would be read to find what is due.
SELECT id FROM jobs_job
 WHERE queue = %(queue)s AND state = 'dead_letter'
   AND finished_at < statement_timestamp() - make_interval(days => %(days)s)
 ORDER BY finished_at LIMIT %(limit)s
