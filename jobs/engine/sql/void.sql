-- void: presume a worker dead, unless a heartbeat arrived since it was last seen.
UPDATE jobs_worker SET lost_at = clock_timestamp()
 WHERE id = %(id)s AND heartbeat_at = %(seen)s AND stopped_at IS NULL AND lost_at IS NULL
RETURNING name
