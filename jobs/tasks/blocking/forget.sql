-- Delete one batch of the rows before an hour, the oldest first. Rows that another clean-up has locked are left to it.
DELETE FROM jobs_domainhour
 WHERE id = ANY(ARRAY(SELECT id
                        FROM jobs_domainhour
                       WHERE hour < %(before)s
                       ORDER BY hour, domain
                       LIMIT %(limit)s
                         FOR UPDATE SKIP LOCKED))
