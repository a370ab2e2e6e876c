-- boots: the boots of one host that claim to be alive.
SELECT id, pid FROM jobs_worker WHERE host = %(host)s AND stopped_at IS NULL AND lost_at IS NULL
