"""How values look. Strangers wrote them: each goes through `format_html`, nothing is marked safe."""

import json
from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.html import format_html

from ..states import State, choices

LONGEST = 20_000
"""Characters of one value that a page shows."""
ICONS: dict[str, str] = {
    State.BLOCKED: "□",
    State.SCHEDULED: "◷",
    State.PENDING: "○",
    State.PAUSED: "❚❚",
    State.DISPATCHED: "◔",
    State.RUNNING: "▶",
    State.RETRYING: "↻",
    State.COMPLETED: "✓",
    State.FAILED: "✕",
    State.DEAD_LETTER: "✕",
    State.CANCELLED: "⊘",
    State.EXPIRED: "⊗",
}
LABELS = dict(choices(State))
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def badge(state: str) -> str:
    """A state by icon, word and colour."""
    return mark(state, ICONS.get(state, "·"), LABELS.get(state, state))


def mark(kind: str, icon: str, label: str) -> str:
    return format_html(
        '<span class="jobs-mark jobs-{}"><span aria-hidden="true">{}</span> {}</span>', kind, icon, label
    )


def ago(at: datetime | None) -> str:
    """“5 min ago” or “in 5 min”, with the time itself in the title."""
    if at is None:
        return "–"
    exact = formats.date_format(timezone.localtime(at), "Y-m-d H:i:s T")
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, _distance(at))


def moment(at: datetime | None) -> str:
    if at is None:
        return "–"
    exact = formats.date_format(timezone.localtime(at), "Y-m-d H:i:s T")
    how_far = _distance(at)
    return format_html('<time datetime="{}">{}</time> <span class="quiet">{}</span>', at.isoformat(), exact, how_far)


def duration(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "–"
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else rough(seconds)


def rough(seconds: float) -> str:
    """The two greatest units: 3 min 5 s."""
    left, said = int(seconds), []
    for size, unit in UNITS:
        if left >= size:
            said.append(f"{left // size} {unit}")
            left %= size
    return " ".join(said[:2]) or "0 s"


def pretty(text: str | None) -> str:
    """JSON text, indented; as it is when it is none, or too long to be shown whole."""
    if text is None:
        return "–"
    if len(text) > 10 * LONGEST:
        return block(text)
    try:
        return block(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return block(text)


def pretty_value(value: Any) -> str:
    return "–" if value is None else pretty(json.dumps(value))


def block(text: str | None) -> str:
    if not text:
        return "–"
    rest = f"\n… cut here: {len(text):,} characters in all" if len(text) > LONGEST else ""
    # Half a surrogate pair is legal in JSON, but in no answer.
    text = text[:LONGEST].encode("utf-8", "replace").decode()
    # A block that scrolls must be reachable by keyboard.
    return format_html('<pre class="jobs-block" tabindex="0">{}{}</pre>', text, rest)


def first_line(text: str | None, longest: int = 120) -> str:
    line = (text or "").strip().partition("\n")[0]
    return f"{line[:longest]}…" if len(line) > longest else line


def _distance(at: datetime) -> str:
    seconds = (timezone.now() - at).total_seconds()
    size, unit = next(((size, unit) for size, unit in UNITS if abs(seconds) >= size), UNITS[-1])
    count = int(abs(seconds) // size)
    if not count:
        return "now"
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"
