-- heartbeat: one worker is alive. No row back: it was presumed dead and its boot is void.
UPDATE jobs_worker
   SET heartbeat_at = clock_timestamp(), slots = %(slots)s,
       stopping_at = CASE WHEN %(stopping)s THEN coalesce(stopping_at, clock_timestamp()) END
 WHERE id = %(id)s AND lost_at IS NULL AND stopped_at IS NULL
RETURNING id
