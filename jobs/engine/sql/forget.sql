-- forget: drop a job's payload and keep its record.
UPDATE jobs_job SET result = NULL, progress = NULL WHERE id = %(id)s AND finished_at IS NOT NULL
