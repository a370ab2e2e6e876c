-- beat: a sign of life.
INSERT INTO schedules_beat (name, skew, started_at, ticked_at)
VALUES (%(name)s, %(skew)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET ticked_at = excluded.ticked_at, skew = excluded.skew
