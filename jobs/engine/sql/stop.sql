-- stop: a worker has ended in good order.
UPDATE jobs_worker SET stopped_at = clock_timestamp() WHERE id = %(id)s AND stopped_at IS NULL
