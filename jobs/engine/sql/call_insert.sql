-- call_insert: `insert` for an id that nobody else can have, by the procedure in which `insert_procedure` keeps it.
-- The casts: of procedures of one name, PostgreSQL takes one with a text where a literal's type is open, though it stands
-- in a later schema of the search path, in which others may make theirs.
CALL jobs_insert(%(id)s::uuid, %(task)s, %(name)s, %(queue)s, %(priority)s, %(lead)s::bigint, %(max_retries)s::integer,
                 %(args)s, %(kwargs)s, %(options)s, %(tags)s::jsonb, %(reference_type)s, %(reference_id)s, %(created_by)s,
                 %(chord)s::uuid)
