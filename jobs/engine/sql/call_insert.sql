-- call_insert: `insert` for an id that nobody else can have, by the procedure in which `insert_procedure` keeps it.
CALL jobs_insert(%(id)s, %(task)s, %(name)s, %(queue)s, %(priority)s, %(lead)s, %(max_retries)s, %(args)s, %(kwargs)s,
                 %(options)s, %(tags)s, %(reference_type)s, %(reference_id)s, %(created_by)s, %(chord)s)
