-- newest_end: the key of the job that lies %(most)s places behind one in the list of all jobs; no row: there are fewer.
SELECT created_at, id FROM jobs_job
 WHERE (created_at, id) < (%(created_at)s::timestamptz, %(id)s::uuid) AND created_at >= %(since)s::timestamptz
 ORDER BY created_at DESC, id DESC OFFSET %(most)s LIMIT 1
