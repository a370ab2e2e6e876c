-- writers: the open transactions that have written jobs, or are about to, by their virtual ids.
SELECT virtualtransaction FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'jobs_job'::regclass AND mode = 'RowExclusiveLock'
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
