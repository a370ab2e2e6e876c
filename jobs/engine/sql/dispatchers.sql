-- dispatchers: how many dispatchers are active, in this database.
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND classid = %(family)s AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
