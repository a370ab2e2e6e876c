"""The table of states and moves: what code, SQL and buttons rely on."""

import pytest

from jobs.app.backend import CELERY_STATE
from jobs.engine.sql import HERE
from jobs.states import FINAL, LEASED, LIVE, TRANSITIONS, State, Transition


def test_every_state_is_live_or_final() -> None:
    assert set(State) == FINAL | LIVE
    assert not FINAL & LIVE
    assert LEASED < LIVE


def test_transitions_have_names_of_their_own() -> None:
    names = [move.name for move in TRANSITIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("move", TRANSITIONS, ids=lambda move: move.name)
def test_only_an_operator_takes_a_job_out_of_a_final_state(move: Transition) -> None:
    if move.sources & FINAL:
        assert move.actor == "operator"
        assert move.sources <= FINAL
        assert State.COMPLETED not in move.sources, "done work is not done twice"


@pytest.mark.parametrize("move", TRANSITIONS, ids=lambda move: move.name)
def test_a_lease_begins_with_dispatch_only(move: Transition) -> None:
    if move.target in LEASED:
        assert move.sources <= {State.PENDING, State.DISPATCHED}


def test_every_live_state_but_a_blocked_one_leads_to_every_kind_of_end() -> None:
    reachable = {state: {state} for state in State}
    for _ in State:
        for move in TRANSITIONS:
            for source in move.sources - FINAL:
                for reached in reachable.values():
                    if source in reached:
                        reached.add(move.target)
    for state in LIVE - {State.BLOCKED}:
        assert reachable[state] >= {State.COMPLETED, State.DEAD_LETTER, State.FAILED}, state


def test_every_state_is_shown_to_celery() -> None:
    assert set(CELERY_STATE) == set(State)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.sql")), ids=lambda path: path.stem)
def test_every_statement_says_in_its_first_line_what_it_does(path) -> None:
    assert path.read_text().startswith(f"-- {path.stem}: ")
