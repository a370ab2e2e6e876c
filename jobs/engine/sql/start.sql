-- start: show a job of a carrier as running because it runs longer than was expected.
UPDATE jobs_job
   SET state = 'running', started_at = %(started_at)s, worker = %(node)s, updated_at = clock_timestamp()
 WHERE id = %(id)s AND lease = %(token)s AND state = 'dispatched'
