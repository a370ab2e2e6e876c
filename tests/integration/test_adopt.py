"""The safety net: a job whose lease row is gone is found and given back."""

from uuid import UUID

import pytest

from jobs.conf import jobs_settings
from jobs.engine import maintenance
from jobs.engine.link import Link
from jobs.engine.maintenance import ROUND, Sweeper
from jobs.models import Job, Lease
from tests.support.clock import Clock
from tests.support.engine import lease, new_job, row, won
from tests.support.rows import attempts, make_job, state_of


class Looker(Sweeper):
    """A dispatcher's sweeps at the moment when a round is due."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, jobs_settings(), clock=Clock())
        assert self.adopt() == 0, "the first look is not at once"

    def round(self) -> list[int]:
        """What the looks of one round find."""
        found = []
        self._clock.now += ROUND
        while not found or self._page < self._pages:
            found.append(self.adopt())
        return found


@pytest.fixture
def looker(link: Link) -> Looker:
    return Looker(link)


def lose_lease(link: Link, token: UUID) -> None:
    link._open().execute("DELETE FROM jobs_lease WHERE token = %s", (token,))


def test_a_job_whose_lease_is_gone_is_pending_again_and_its_attempt_is_on_file(link: Link, looker: Looker) -> None:
    ran, sent = new_job(), new_job()
    lose_lease(link, won(link, [ran]))
    lose_lease(link, lease(link, [sent]))
    looker.round()
    for job in map(row, (ran, sent)):
        assert (job.state, job.lease, job.attempt, job.strikes) == ("pending", None, 1, 0)
        assert attempts(job) == [(1, "lost", "its lease was gone")]
    assert not Lease.objects.exists()


def test_those_of_one_carrier_come_back_together(link: Link, looker: Looker) -> None:
    ids = [new_job() for _ in range(5)]
    lose_lease(link, won(link, ids))
    assert sum(looker.round()) == 1
    assert {state_of(id_) for id_ in ids} == {"pending"}


def test_the_rules_of_a_lost_lease_hold(link: Link, looker: Looker) -> None:
    once = make_job(state="running", options={"on_lost": "dead_letter"}, attempt=1)
    unwanted = make_job(state="running", attempt=1, unique_key="k", cancel_requested_at="2026-01-01T00:00Z")
    looker.round()
    assert (state_of(once), state_of(unwanted)) == ("dead_letter", "cancelled")
    assert "its lease was gone: it had begun, and on_lost='dead_letter'" in row(once).error
    assert row(unwanted).unique_key is None


def test_whoever_has_a_lease_or_needs_none_keeps_his_state(link: Link, looker: Looker) -> None:
    tokens = {lease(link, [new_job()]), won(link, [new_job(), new_job()])}
    others = [make_job(state=state) for state in ("pending", "completed", "dead_letter", "scheduled")]
    before = list(Job.objects.order_by("pk").values())
    assert sum(looker.round()) == 0
    assert list(Job.objects.order_by("pk").values()) == before
    assert len(before) == 3 + len(others)
    assert set(Lease.objects.values_list("token", flat=True)) == tokens


def test_a_round_goes_through_the_whole_table_a_stretch_at_a_time(link: Link, looker: Looker, monkeypatch) -> None:
    monkeypatch.setattr(maintenance, "STRETCH", 2)
    ids = [make_job(state="running", attempt=1, args=["x" * 1000]) for _ in range(60)]
    found = looker.round()
    assert sum(found) == len(ids)
    assert max(found) < 20
    assert {state_of(id_) for id_ in ids} == {"pending"}
    make_job(state="running", attempt=1)
    assert looker.adopt() == 0, "the next round begins later"
    assert sum(looker.round()) == 1


def test_a_sweep_looks_at_one_stretch(link: Link, looker: Looker) -> None:
    make_job(state="running", attempt=1)
    looker._clock.now += ROUND
    looker.sweep()
    assert looker._page == maintenance.STRETCH
