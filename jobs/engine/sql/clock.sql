-- clock: the database's time, now.
SELECT clock_timestamp()
