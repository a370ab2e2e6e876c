"""What a job is about: a row of the site's own, by the type and the id of it."""

from typing import Any

from django.db import models

from ..errors import InvalidJob
from .written import ReadOnlyQuerySet


def reference_of(value: Any) -> tuple[str, str]:
    """(type, id) of a saved model instance, or of such a pair. Raises InvalidJob."""
    if isinstance(value, models.Model):
        if value.pk is None:
            raise InvalidJob(f"reference={value!r} is not saved yet: it has no primary key.")
        return value._meta.label_lower, str(value.pk)
    try:
        if isinstance(value, str):
            raise TypeError("a string")
        kind, key = value
        if kind is None or key is None:
            raise ValueError("no text")
    except (TypeError, ValueError) as error:
        raise InvalidJob(f"reference={value!r}: pass a model instance or a (type, id) pair.") from error
    return str(kind), str(key)


class JobQuerySet(ReadOnlyQuerySet):
    def for_reference(self, reference: Any) -> "JobQuerySet":
        """The jobs that were called with this `reference`: a model instance, or a (type, id) pair."""
        kind, key = reference_of(reference)
        return self.filter(reference_type=kind, reference_id=key)
