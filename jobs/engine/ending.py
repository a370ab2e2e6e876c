"""Ending jobs on request, whatever happens to them at the same moment."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from ..states import CANCEL
from .link import Rows


class Ended(NamedTuple):
    """Ids that are cancelled now, ids whose worker is asked to stop them, and ids that shared a lease and ended too."""

    now: list[UUID]
    asked: list[UUID]
    others: list[UUID]


def end(link: Rows, ids: Iterable[UUID], *, actor: str, reason: str, ip: str | None, running: bool = True) -> Ended:
    """Cancel jobs that no worker has and ask for the end of those that run; a missing id is over.

    Call inside a transaction. `running=False` leaves jobs alone that a worker has.
    """
    ended = Ended([], [], [])
    ids = list(dict.fromkeys(ids))
    entry = {"actor": actor, "reason": reason, "ip": ip}
    _end_unstarted(link, ids, entry, ended)
    # Leased by a dispatcher while the statement waited for its row.
    _end_unstarted(link, _without(ids, ended.now), entry, ended)
    if running and (left := _without(ids, ended.now)):
        ended.asked.extend(row[0] for row in link.rows("request_cancel", ids=left, **entry))
    # Returned by its worker while the statement waited for its row.
    _end_unstarted(link, _without(ids, ended.now, ended.asked), entry, ended)
    return ended


def _end_unstarted(link: Rows, ids: list[UUID], entry: dict[str, Any], ended: Ended) -> None:
    if not ids:
        return
    lost = {"won": False, "worker": None, "begun": None, "strike": False, "reason": "", "poison_error": ""}
    for (token,) in link.rows("unwon_of", ids=ids):
        ended.others.extend(link.rows("lose", token=token, poison_after=1, **lost)[0][3])
    ended.now.extend(row[0] for row in link.rows("cancel", ids=ids, sources=sorted(CANCEL.sources), **entry))


def _without(ids: Sequence[UUID], *known: list[UUID]) -> list[UUID]:
    gone = {id_ for part in known for id_ in part}
    return [id_ for id_ in ids if id_ not in gone]
