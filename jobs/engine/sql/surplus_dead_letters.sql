-- surplus_dead_letters: dead letters of a queue behind the newest %(cap)s of them.
SELECT id FROM jobs_job
 WHERE queue = %(queue)s AND state = 'dead_letter'
 ORDER BY finished_at DESC OFFSET %(cap)s LIMIT %(limit)s
