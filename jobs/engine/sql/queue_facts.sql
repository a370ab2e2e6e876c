-- queue_facts: what a caller has to know of a queue, NULL where it has no row yet; and whether `call_insert` is open to him:
-- a restore may have left the procedure out, and a site may grant nobody what it makes.
SELECT queue.aging_us, queue.max_size,
       coalesce(has_function_privilege(to_regprocedure('jobs_insert(uuid, text, text, text, integer, bigint, integer,
           text, text, text, jsonb, text, text, text, uuid)'), 'EXECUTE'), false)
FROM (SELECT) AS caller
LEFT JOIN jobs_queue AS queue ON queue.name = %(name)s
