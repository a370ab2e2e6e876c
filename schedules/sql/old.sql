-- old: delete a batch of occurrences that were decided long ago, none that waits; returns how many.
-- By an array of ids: the planner would read the whole table to join a subquery with it.
WITH gone AS (
    DELETE FROM schedules_occurrence
     WHERE id = ANY(ARRAY(SELECT id FROM schedules_occurrence
                           WHERE decided_at < statement_timestamp() - make_interval(days => %(days)s)
                             AND state <> 'waiting'
                           ORDER BY decided_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING id)
SELECT count(*) FROM gone
