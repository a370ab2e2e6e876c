-- insert: write one job that may run now. No row back: its id is taken, `insert_all` knows what to do then.
-- Plain and short on purpose: without prepared statements, half of an insert's time goes into its parsing.
-- %(lead)s: µs by which its priority goes before its time.
INSERT INTO jobs_job
    (id, task, name, queue, state, priority, rank, ready_at, max_retries, args, kwargs, options,
     tags, reference_type, reference_id, created_by, chord, created_at, updated_at)
VALUES (%(id)s, %(task)s, %(name)s, %(queue)s, 'pending', %(priority)s,
        (extract(epoch FROM statement_timestamp()) * 1000000)::bigint - %(lead)s, statement_timestamp(),
        %(max_retries)s, %(args)s, %(kwargs)s, %(options)s,
        %(tags)s, %(reference_type)s, %(reference_id)s, %(created_by)s, %(chord)s,
        statement_timestamp(), statement_timestamp())
ON CONFLICT DO NOTHING
RETURNING id
