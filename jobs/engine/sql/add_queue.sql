-- add_queue: a queue's row appears at its first use.
INSERT INTO jobs_queue (name, aging_us) VALUES (%(name)s, %(aging_us)s) ON CONFLICT (name) DO NOTHING
