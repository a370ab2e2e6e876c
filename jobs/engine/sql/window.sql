-- window: what live workers announce, and how many unfinished leases each routing key has, with their places.
SELECT 'worker', NULL, worker.queues, worker.slots, 0
  FROM jobs_worker AS worker
 WHERE worker.stopping_at IS NULL AND worker.stopped_at IS NULL AND worker.lost_at IS NULL
   AND worker.heartbeat_at > clock_timestamp() - make_interval(secs => %(timeout)s)
UNION ALL
SELECT 'lease', routing_key, NULL, count(*), sum(place)::float8 FROM jobs_lease GROUP BY routing_key
