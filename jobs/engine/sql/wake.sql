-- wake: tell an idle dispatcher to look; sent after a commit, never inside the caller's transaction.
SELECT pg_notify('jobs_ready', '')
