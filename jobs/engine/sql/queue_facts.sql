-- queue_facts: what a caller has to know of a queue.
SELECT aging_us, max_size FROM jobs_queue WHERE name = %(name)s
