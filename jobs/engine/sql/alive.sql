-- alive: every boot that should be sending heartbeats, with its last one.
SELECT id, name, heartbeat_at FROM jobs_worker WHERE stopped_at IS NULL AND lost_at IS NULL
