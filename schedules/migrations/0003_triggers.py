"""Triggers on django-celery-beat's tables: an edit by any door, raw SQL too, gives a schedule a new next run.

The companion of a periodic task comes with it and leaves with it, in the database.
"""

from django.db import migrations

FOREIGN_KEYS = """
ALTER TABLE schedules_schedule ADD CONSTRAINT schedules_schedule_of_task
    FOREIGN KEY (periodic_task_id) REFERENCES django_celery_beat_periodictask (id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE schedules_occurrence ADD CONSTRAINT schedules_occurrence_of_schedule
    FOREIGN KEY (schedule_id) REFERENCES schedules_schedule (periodic_task_id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
"""
NO_FOREIGN_KEYS = """
ALTER TABLE schedules_occurrence DROP CONSTRAINT schedules_occurrence_of_schedule;
ALTER TABLE schedules_schedule DROP CONSTRAINT schedules_schedule_of_task;
"""

# What is due already stays due: the beat fires it, though the edit came a moment before it looked.
EDITED = """
       next_run_at = CASE WHEN s.active AND s.next_run_at <= clock_timestamp() THEN s.next_run_at END,
       edited_at = clock_timestamp(), retry_at = NULL, error = '', errors = 0
"""

TRIGGERS = f"""
CREATE FUNCTION schedules_task_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO schedules_schedule (periodic_task_id, active, anchor_at, edited_at, streak_from)
    VALUES (NEW.id, NEW.enabled, clock_timestamp(), clock_timestamp(), clock_timestamp())
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION schedules_task_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE schedules_schedule AS s
       SET {EDITED}, active = NEW.enabled
     WHERE s.periodic_task_id = NEW.id;
    RETURN NULL;
END $$;
CREATE FUNCTION schedules_times_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'UPDATE schedules_schedule AS s SET %s, active = t.enabled
           FROM django_celery_beat_periodictask AS t
          WHERE t.%I = $1 AND s.periodic_task_id = t.id', $set${EDITED}$set$, TG_ARGV[0]) USING NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER schedules_task_added AFTER INSERT ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION schedules_task_added();
CREATE TRIGGER schedules_task_edited AFTER UPDATE ON django_celery_beat_periodictask
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.interval_id, OLD.crontab_id, OLD.solar_id, OLD.clocked_id, OLD.start_time, OLD.expires,
         OLD.one_off, OLD.task, OLD.args, OLD.kwargs, OLD.queue, OLD.headers, OLD.name)
        IS DISTINCT FROM
        (NEW.enabled, NEW.interval_id, NEW.crontab_id, NEW.solar_id, NEW.clocked_id, NEW.start_time, NEW.expires,
         NEW.one_off, NEW.task, NEW.args, NEW.kwargs, NEW.queue, NEW.headers, NEW.name))
    EXECUTE FUNCTION schedules_task_edited();
"""
NO_TRIGGERS = """
DROP TRIGGER schedules_task_edited ON django_celery_beat_periodictask;
DROP TRIGGER schedules_task_added ON django_celery_beat_periodictask;
"""
NO_FUNCTIONS = """
DROP FUNCTION schedules_times_edited();
DROP FUNCTION schedules_task_edited();
DROP FUNCTION schedules_task_added();
"""
TIMES = ("interval", "crontab", "solar", "clocked")


def table(kind: str) -> str:
    return f"django_celery_beat_{kind}schedule"


TIMES_TRIGGERS = "".join(
    f"""
CREATE TRIGGER schedules_times_edited AFTER UPDATE ON {table(kind)}
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION schedules_times_edited('{kind}_id');
"""
    for kind in TIMES
)
NO_TIMES_TRIGGERS = "".join(f"DROP TRIGGER schedules_times_edited ON {table(kind)};\n" for kind in TIMES)

# As beat itself reckons: from the last run on, so what was due while the site was upgraded is not lost.
COMPANIONS = """
INSERT INTO schedules_schedule (periodic_task_id, active, anchor_at, edited_at)
SELECT id, enabled, coalesce(last_run_at, date_changed), coalesce(last_run_at, date_changed)
  FROM django_celery_beat_periodictask
ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = (("schedules", "0002_companion"),)
    operations = (
        migrations.RunSQL(FOREIGN_KEYS, NO_FOREIGN_KEYS),
        migrations.RunSQL(TRIGGERS, NO_FUNCTIONS),
        migrations.RunSQL(TIMES_TRIGGERS, NO_TRIGGERS + NO_TIMES_TRIGGERS),
        migrations.RunSQL(COMPANIONS, migrations.RunSQL.noop),
    )
