-- insert_procedure: a job's insert, whose plan each session of the server keeps: parsing and planning it takes as long as
-- to carry it out, and nothing may be prepared on a caller's connection, behind which a pooler may stand.
-- A procedure and not a function: a proxy that sends every SELECT to a replica sends no CALL there.
-- Made after every migrate. Another list of arguments needs another name, as code of the release before calls this one.
CREATE OR REPLACE PROCEDURE jobs_insert(
    id uuid, task text, name text, queue text, priority integer, lead bigint, max_retries integer, args text,
    kwargs text, options text, tags jsonb, reference_type text, reference_id text, created_by text, chord uuid)
LANGUAGE plpgsql AS $$
BEGIN
INSERT INTO jobs_job
    (id, task, name, queue, state, priority, rank, ready_at, max_retries, args, kwargs, options,
     tags, reference_type, reference_id, created_by, chord, created_at, updated_at)
VALUES (id, task, name, queue, 'pending', priority,
        (extract(epoch FROM statement_timestamp()) * 1000000)::bigint - lead, statement_timestamp(),
        max_retries, args, kwargs, options, tags, reference_type, reference_id, created_by, chord,
        statement_timestamp(), statement_timestamp());
END $$
