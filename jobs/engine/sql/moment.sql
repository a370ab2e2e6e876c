-- moment: what jobs of one bulk call have in common, by the database's clock: its state, times and rank.
SELECT CASE WHEN due > now THEN 'scheduled' ELSE 'pending' END,
       (extract(epoch FROM greatest(due, now)) * 1000000)::bigint - %(lead)s::bigint,
       greatest(due, now)::text, CASE WHEN due > now THEN due END::text,
       coalesce(%(expires_at)s::timestamptz, now + make_interval(secs => %(expires)s::float8))::text,
       (now + make_interval(secs => %(retry_for)s::float8))::text, now::text
  FROM (SELECT now, coalesce(%(run_at)s::timestamptz, now + make_interval(secs => %(delay)s::float8)) AS due
          FROM (SELECT statement_timestamp() AS now) AS clock) AS clock
