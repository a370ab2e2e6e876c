"""The table into which a task writes within `self.commit()`: one row for each effect that was not rolled back."""

CREATE = "CREATE TABLE IF NOT EXISTS soak_effect (job uuid NOT NULL, attempt integer NOT NULL)"
INSERT = "INSERT INTO soak_effect (job, attempt) VALUES (%s, %s)"
SELECT = "SELECT job::text, array_agg(attempt ORDER BY attempt) FROM soak_effect GROUP BY job"
DROP = "DROP TABLE soak_effect"
