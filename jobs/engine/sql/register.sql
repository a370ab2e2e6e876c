-- register: a worker's boot announces itself; earlier boots of its host whose process is gone are void at once.
WITH void AS (
    UPDATE jobs_worker SET lost_at = clock_timestamp()
     WHERE id = ANY(%(gone)s) AND stopped_at IS NULL AND lost_at IS NULL
)
INSERT INTO jobs_worker (id, name, host, pid, slots, queues, started_at, heartbeat_at)
VALUES (%(id)s, %(name)s, %(host)s, %(pid)s, %(slots)s, %(queues)s, clock_timestamp(), clock_timestamp())
