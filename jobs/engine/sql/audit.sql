-- audit: one entry that no other statement writes.
INSERT INTO jobs_auditentry (actor, action, resource_type, resource_id, detail, ip)
VALUES (%(actor)s, %(action)s, %(resource_type)s, %(resource_id)s, %(detail)s::jsonb, %(ip)s::inet)
