"""Tables that change all the time are vacuumed and measured by what changed, not by how much history there is."""

from django.db import migrations

# PostgreSQL's own fifth (a tenth for statistics) of five million finished jobs is a million dead rows.
OPTIONS = {
    "jobs_job": {
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_insert_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_analyze_threshold": "5000",
    },
    "jobs_attempt": {
        "autovacuum_vacuum_insert_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
    },
    "jobs_lease": {
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "2000",
    },
}


def _set(table: str) -> migrations.RunSQL:
    options = OPTIONS[table]
    given = ", ".join(f"{name} = {value}" for name, value in options.items())
    return migrations.RunSQL(
        f"ALTER TABLE {table} SET ({given})", f"ALTER TABLE {table} RESET ({', '.join(options)})"
    )


class Migration(migrations.Migration):
    dependencies = (("jobs", "0008_place"),)
    operations = tuple(map(_set, OPTIONS))
