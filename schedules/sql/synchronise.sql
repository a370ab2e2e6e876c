-- synchronise: one at a time writes what code declares.
SELECT pg_advisory_xact_lock(hashtext('schedules.code'))
