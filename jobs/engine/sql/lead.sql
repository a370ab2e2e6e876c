-- lead: become the active dispatcher of a set of queues for as long as this connection lives.
SELECT pg_try_advisory_lock(%(family)s, %(key)s)
