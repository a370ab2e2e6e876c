"""The same checks in fewer words: every statement that writes jobs reads them anew."""

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models
from django.db.models import F
from django.db.models.lookups import Exact, In, IsNull

FINAL = ["cancelled", "completed", "dead_letter", "expired", "failed"]
CHECKS = (
    ("jobs_final_means_finished", "jobs_final_has_end", FINAL, "finished_at"),
    ("jobs_leased_means_lease", "jobs_leased_has_lease", ["dispatched", "running"], "lease"),
    ("jobs_paused_means_pause", "jobs_paused_has_pause", ["paused"], "pause"),
)


class Migration(migrations.Migration):
    atomic = False  # rows are checked while jobs are written as ever
    dependencies = (("jobs", "0006_pauses"),)
    operations = tuple(
        step
        for old, new, states, column in CHECKS
        for step in (
            AddConstraintNotValid(
                "job",
                models.CheckConstraint(condition=Exact(In(F("state"), states), IsNull(F(column), False)), name=new),
            ),
            ValidateConstraint("job", new),
            migrations.RemoveConstraint("job", old),
        )
    )
