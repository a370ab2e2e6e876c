"""The result of a bench as tables, for people."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

HEADS: dict[str, tuple[str, ...]] = {
    "enqueue": ("calls/s", "caller CPU µs"),
    "drain": ("jobs/s", "busy %", "useful %", "CPU s: disp.", "worker", "child", "postgres"),
    "latency": ("p50 ms", "p95 ms", "p99 ms", "max ms"),
    "schedules": ("p50 ms", "p95 ms", "p99 ms", "max ms", "all ms", "beat CPU % at rest"),
    "rival": ("enqueue/s", "drain/s", "CPU s: worker", "child"),
}
TITLES = {
    "enqueue": "Enqueue",
    "drain": "Drain",
    "latency": "Latency and lateness",
    "schedules": "Schedules",
    "rival": "Rivals",
}


def show(result: dict[str, Any], console: Console) -> None:
    machine, database, broker = result["machine"], result["database"], result["broker"]
    servers = f"PostgreSQL {database['server_version']}, {broker['kind']} {broker['version']}"
    slots = f"{result['options']['workers']} worker slots, medians of {result['options']['runs']}"
    cores = f"{machine['usable_cores']} cores, load {machine['load_before'][0]} before"
    console.print(f"{cores}; {servers}; {slots}", highlight=False)
    for kind in HEADS:
        wanted = (kind, "delayed") if kind == "latency" else (kind,)
        if chosen := [measure for measure in result["measures"] if measure["kind"] in wanted]:
            console.print(_table(kind, chosen))
    for table in (_memory(result), _ratios(result), *_statements(result)):
        if table.row_count:
            console.print(table)
    if result["statement_times"] != "pg_stat_statements":
        console.print(f"PostgreSQL's time by statement: {result['statement_times']}.", highlight=False)
    for measure in result["measures"]:
        for why in measure["refused"]:
            console.print(f"REFUSED {measure['name']}: {why}", style="bold red", highlight=False)


def _table(kind: str, measures: list[dict[str, Any]]) -> Table:
    table = Table(title=TITLES[kind], title_justify="left")
    table.add_column("measure", no_wrap=True)
    for head in ("jobs", *HEADS[kind]):
        table.add_column(head, justify="right")
    for measure in measures:
        cells = ["refused"] if measure["refused"] else list(_cells(kind, measure))
        table.add_row(measure["name"], f"{measure['jobs']:,}", *cells)
    return table


def _cells(kind: str, measure: dict[str, Any]) -> Iterator[str]:
    median = measure["median"]
    if kind == "enqueue":
        yield f"{median['per_second']:,.0f}"
        yield f"{median['caller_cpu_us']:,.0f}"
    elif kind == "latency":
        yield from (f"{median[f'{name}_ms']:,.1f}" for name in ("p50", "p95", "p99", "max"))
    elif kind == "schedules":
        yield from (f"{median[f'{name}_ms']:,.1f}" for name in ("p50", "p95", "p99", "max", "all_committed"))
        yield f"{median['rest_cpu_percent']:.2f}"
    elif kind == "drain":
        yield f"{median['per_second']:,.0f}"
        yield f"{median['busy_percent']:.0f}"
        yield f"{median['useful_percent']:.0f}" if median["useful_percent"] else "–"
        yield from _cpu(measure, "dispatcher", "worker", "child", "postgres")
    else:
        yield f"{median['enqueue_per_second']:,.0f}"
        yield f"{median['per_second']:,.0f}"
        yield from _cpu(measure, "worker", "child")


def _cpu(measure: dict[str, Any], *roles: str) -> Iterator[str]:
    """Of the repetition in the middle, so that the four belong together."""
    run = sorted(measure["runs"], key=lambda run: run["per_second"])[len(measure["runs"]) // 2]
    yield from (f"{run['cpu_seconds'][role]:.2f}" if role in run["cpu_seconds"] else "–" for role in roles)


def _memory(result: dict[str, Any]) -> Table:
    table = Table("process", title="Memory, MiB", title_justify="left")
    for head in ("RSS", "PSS"):
        table.add_column(head, justify="right")
    for process in result["memory"]:
        cells = (f"{process[name] / 1024:.1f}" if name in process else "–" for name in ("rss_kib", "pss_kib"))
        table.add_row(f"{process['role']} {process['pid']}", *cells)
    return table


def _ratios(result: dict[str, Any]) -> Table:
    table = Table("measure", "rival", title="Times as much as the rival", title_justify="left")
    table.add_column("times", justify="right")
    for row in result["ratios"]:
        table.add_row(row["measure"], row["rival"], f"{row['times']:.2f}" if row["times"] is not None else "–")
    return table


def _statements(result: dict[str, Any]) -> Iterator[Table]:
    for measure in result["measures"]:
        rows = measure["runs"][-1].get("statements") if measure["kind"] in ("enqueue", "drain") else None
        table = Table("statement", title=f"PostgreSQL, {measure['name']}, last repetition", title_justify="left")
        for head in ("calls", "ms", "µs a job"):
            table.add_column(head, justify="right")
        for row in (rows or [])[:8]:
            table.add_row(row["statement"], f"{row['calls']:,}", f"{row['ms']:,.1f}", f"{row['us_per_job']:,.1f}")
        yield table
