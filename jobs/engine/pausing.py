"""An operator's pauses: of a queue, of a task, of the jobs with a unique key or a tag.

Nothing that a pause holds is leased while it stands; what workers have, or what is on its way to them, is finished.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from ..errors import InvalidPause
from ..models import Pause, Queue
from ..models.pauses import Held
from .control import audit, clock
from .link import jobs_alias
from .operators import who
from .payload import is_storable
from .wake import wake_after_commit

QUEUE = "queue"
KINDS = (QUEUE, *map(str, Held))
LONGEST = 500


def pause(
    kind: str, what: str, *, actor: str, reason: str = "", ip: str | None = None, until: datetime | None = None
) -> None:
    """Hold back the jobs of a kind, one of KINDS: `what` is the whole name; a tag is `name` or `name=value`.

    `until` (aware) ends it by itself; not for a queue. What is paused already gets the new reason and end. Raises
    InvalidPause, InvalidActor.
    """
    check(kind, what, reason, until)
    alias, actor = jobs_alias(), who(actor)["actor"]
    with transaction.atomic(using=alias):
        if kind == QUEUE:
            _pause_queue(what, reason)
        else:
            Pause.objects.using(alias).update_or_create(
                **_named(kind, what),
                defaults={"reason": reason, "until": until, "paused_by": actor},
                create_defaults={"reason": reason, "until": until, "paused_by": actor, "paused_at": clock()},
            )
        detail = {"until": until.isoformat()} if until else {}
        audit("pause", (kind, what), actor=actor, reason=reason, ip=ip, detail=detail)


def resume(kind: str, what: str, *, actor: str, reason: str = "", ip: str | None = None) -> bool:
    """Let the jobs go again that a pause holds; False if nothing of that name is paused. Raises InvalidPause."""
    check(kind, what, reason, None)
    alias, actor = jobs_alias(), who(actor)["actor"]
    with transaction.atomic(using=alias):
        if kind == QUEUE:
            paused = Queue.objects.using(alias).filter(pk=what, paused_at__isnull=False)
            found = paused.update(paused_at=None, paused_reason="")
        else:
            found, _ = Pause.objects.using(alias).filter(**_named(kind, what)).delete()
        if found:
            audit("resume", (kind, what), actor=actor, reason=reason, ip=ip)
    wake_after_commit(alias)
    return bool(found)


def _pause_queue(name: str, reason: str) -> None:
    known = Queue.objects.using(jobs_alias())
    if not known.filter(pk=name).update(paused_at=clock(), paused_reason=reason):
        names = ", ".join(known.order_by("pk").values_list("pk", flat=True)[:20]) or "none yet"
        raise InvalidPause(f"There is no queue {name!r}. A queue is known from its first job on; known are: {names}.")


def check(kind: str, what: str, reason: str, until: datetime | None) -> None:
    """Raises InvalidPause."""
    if kind not in KINDS:
        raise InvalidPause(f"There is no pause of a {kind!r}; expected one of {', '.join(KINDS)}.")
    if not what.partition("=")[0] or any(len(text) > LONGEST or not is_storable(text) for text in (what, reason)):
        raise InvalidPause(f"The name and the reason of a pause are text of 1 to {LONGEST} characters, without NUL.")
    if until is not None and kind == QUEUE:
        raise InvalidPause("A queue is paused until somebody resumes it: leave `until` out.")
    if until is not None and (timezone.is_naive(until) or until <= clock()):
        raise InvalidPause(f"The end of a pause is {until!r}; expected a moment to come, with its time zone.")


def _named(kind: str, what: str) -> dict[str, str | None]:
    if kind != Held.TAG:
        return {"kind": kind, "name": what, "value": None}
    name, given, value = what.partition("=")
    return {"kind": kind, "name": name, "value": value if given else None}
