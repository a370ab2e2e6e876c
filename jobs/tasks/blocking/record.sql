-- Count one fetch in the row of its domain and hour, which is made with the first one.
INSERT INTO jobs_domainhour AS kept (hour, domain, succeeded, blocked, failed, last_status)
VALUES (%(hour)s, %(domain)s, %(succeeded)s, %(blocked)s, %(failed)s, %(last_status)s)
ON CONFLICT (hour, domain) DO UPDATE
   SET succeeded = kept.succeeded + excluded.succeeded,
       blocked = kept.blocked + excluded.blocked,
       failed = kept.failed + excluded.failed,
       last_status = CASE WHEN excluded.succeeded = 0 THEN excluded.last_status ELSE kept.last_status END
