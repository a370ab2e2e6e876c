-- release_key: let another job take the key of this one.
UPDATE jobs_job SET unique_key = NULL, unique_until = NULL WHERE id = %(id)s AND unique_key = %(unique_key)s
