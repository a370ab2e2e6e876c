-- errbacks: of these jobs those that are dead letters and whose callers gave a `link_error`.
SELECT id, queue, priority, error, options
  FROM jobs_job WHERE id = ANY(%(ids)s) AND state = 'dead_letter' AND options LIKE '%%"link_error": %%'
 ORDER BY id
