-- judge: what blocked jobs wait for, in order of id above %(above)s: whether a chord is complete or spoilt, or a job is over.
SELECT waiting.after, coalesce(chord.done >= chord.size, false),
       chord.id IS NOT NULL AND EXISTS (
           SELECT FROM jobs_job AS member
            WHERE member.chord = waiting.after AND member.state IN ('cancelled', 'dead_letter', 'expired', 'failed')),
       chord.id IS NULL AND NOT EXISTS (
           SELECT FROM jobs_job AS before WHERE before.id = waiting.after AND before.finished_at IS NULL)
  FROM (SELECT DISTINCT after FROM jobs_job
         WHERE state = 'blocked' AND after > %(above)s AND after <> id ORDER BY after LIMIT %(limit)s) AS waiting
  LEFT JOIN jobs_chord AS chord ON chord.id = waiting.after
 ORDER BY waiting.after
