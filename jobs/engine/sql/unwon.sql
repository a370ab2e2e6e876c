-- unwon: leases that are, or should be, in the broker: a new dispatcher sends them again, a win happens only once.
SELECT routing_key, token FROM jobs_lease WHERE won_at IS NULL ORDER BY sent_at LIMIT %(limit)s
