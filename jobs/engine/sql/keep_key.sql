-- keep_key: remember the key that a job would have held, for its requeue.
UPDATE jobs_job SET given_key = %(unique_key)s WHERE id = %(id)s
