-- waiting: how many jobs of a queue may run and were not dispatched yet, counted up to a limit.
SELECT count(*) FROM (SELECT FROM jobs_job WHERE state = 'pending' AND queue = %(queue)s LIMIT %(limit)s) AS counted
