-- stale_ranks: queues whose pending jobs may be ranked by another aging than theirs.
SELECT name, aging_us, ranked_us FROM jobs_queue WHERE ranked_us IS DISTINCT FROM aging_us ORDER BY name
