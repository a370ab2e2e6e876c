"""Rows that only the engine writes: everyone else reads them."""

from typing import Any, NoReturn

from django.db import models

from ..errors import EngineOnly


class ReadOnlyQuerySet(models.QuerySet):
    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise EngineOnly(
            f"{self.model.__name__} rows are written by the engine only: use task.delay() or jobs.engine.enqueue() "
            "to create a job and jobs.engine.requeue() to run one again."
        )

    create = update = delete = bulk_create = bulk_update = get_or_create = update_or_create = _refuse
    acreate = aupdate = adelete = abulk_create = abulk_update = aget_or_create = aupdate_or_create = _refuse
    _raw_delete = _refuse


class EngineWritten(models.Model):
    objects = ReadOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def _refuse(self, *args: Any, **kwargs: Any) -> None:
        self.__class__.objects.all()._refuse()

    save = delete = asave = adelete = save_base = _refuse
