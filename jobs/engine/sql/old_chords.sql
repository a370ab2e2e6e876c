-- old_chords: look at the next chords by key and delete those that no job belongs to and none waits for.
-- No row: there are no more. Else the last one seen and how many went. A young one's members may not be committed yet.
WITH seen AS MATERIALIZED (
    SELECT id, created_at FROM jobs_chord WHERE id > %(id)s::uuid ORDER BY id LIMIT %(limit)s
), gone AS (
    DELETE FROM jobs_chord AS chord USING seen
     WHERE chord.id = seen.id AND seen.created_at < clock_timestamp() - interval '1 day'
       AND NOT EXISTS (SELECT FROM jobs_job WHERE chord IS NOT NULL AND jobs_job.chord = seen.id)
       AND NOT EXISTS (SELECT FROM jobs_job WHERE state = 'blocked' AND after = seen.id)
    RETURNING chord.id
)
SELECT last.id, (SELECT count(*) FROM gone) FROM (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last
