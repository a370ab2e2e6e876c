"""What the soak's checker asks of several jobs together: it finds what was planted, and nothing else."""

from dataclasses import replace

from jobsite.soak.checker import violations
from jobsite.soak.evidence import Row
from jobsite.soak.ledger import Start, Wish

GOOD = Row(state="completed", attempt=1, retries=0, max_retries=0, strikes=0, ends=("completed",))
RAN = Start("a", 1, 100, start=1.0, effect=1.5, end=2.0)
DEAD = replace(GOOD, state="dead_letter", ends=("failed",))
NEVER_RUN = replace(GOOD, state="failed", attempt=0, ends=())


def told(
    wishes: dict[str, Wish],
    rows: dict[str, Row],
    *starts: Start,
    effects: dict[str, tuple[int, ...]] | None = None,
) -> list[str]:
    return [v.kind for v in violations(wishes, starts, rows, poison_after=3, effects=effects)]


def start(job: str, at: float, attempt: int = 1) -> Start:
    return Start(job, attempt, 100, start=at, effect=at + 0.5, end=at + 1.0)


CHAIN = {"a": Wish("noop", "committed"), "b": Wish("noop", "committed", after="a")}


def test_the_next_step_of_a_chain_is_there_once_its_step_completed() -> None:
    assert told(CHAIN, {"a": GOOD, "b": GOOD}, start("a", 1), start("b", 3)) == []
    assert told(CHAIN, {"a": GOOD}, start("a", 1)) == ["lost"]


def test_the_next_step_of_a_chain_is_not_there_before_its_step_has_ended() -> None:
    running = replace(GOOD, state="running", attempt=0, ends=())
    assert told(CHAIN, {"a": running, "b": GOOD}, start("b", 3)) == ["ghost", "unfinished"]
    assert told(CHAIN, {"b": GOOD}, start("b", 3)) == ["lost", "ghost"]


def test_a_step_after_one_that_failed_is_failed_and_never_starts() -> None:
    wishes = {**CHAIN, "a": Wish("doomed", "committed")}
    assert told(wishes, {"a": DEAD, "b": NEVER_RUN}, start("a", 1)) == []
    assert told(wishes, {"a": DEAD}, start("a", 1)) == ["lost"]
    assert told(wishes, {"a": DEAD, "b": NEVER_RUN}, start("a", 1), start("b", 3)) == ["start after a failure"]
    assert told(wishes, {"a": DEAD, "b": GOOD}, start("a", 1), start("b", 3)) == [
        "wrong end",
        "start after a failure",
    ]
    waiting = replace(NEVER_RUN, state="blocked")
    assert told(wishes, {"a": DEAD, "b": waiting}, start("a", 1)) == ["unfinished"]


def test_a_callback_is_there_if_and_only_if_its_job_completed() -> None:
    wishes = {"a": Wish("noop", "committed"), "b": Wish("noop", "committed", linked="a")}
    assert told(wishes, {"a": GOOD, "b": GOOD}, start("a", 1), start("b", 3)) == []
    assert told(wishes, {"a": GOOD}, start("a", 1)) == ["lost"]
    wishes["a"] = Wish("doomed", "committed")
    assert told(wishes, {"a": DEAD}, start("a", 1)) == []
    assert told(wishes, {"a": DEAD, "b": GOOD}, start("a", 1), start("b", 3)) == ["ghost"]


CHORD = {
    "a": Wish("noop", "committed", body="c"),
    "b": Wish("noop", "committed", body="c"),
    "c": Wish("collect", "committed"),
}


def test_the_body_of_a_chord_runs_after_every_member() -> None:
    rows = {"a": GOOD, "b": GOOD, "c": GOOD}
    assert told(CHORD, rows, start("a", 1), start("b", 2), start("c", 4)) == []
    assert told(CHORD, rows, start("a", 1), start("b", 4), start("c", 4.5)) == ["early body"]
    again = replace(GOOD, attempt=2, ends=("lost", "completed"))
    late = (start("a", 1), start("b", 2), start("b", 6, attempt=2), start("c", 4))
    assert told(CHORD, {**rows, "b": again}, *late) == ["early body"]


def test_the_body_of_a_chord_fails_without_a_start_if_a_member_failed() -> None:
    wishes = {**CHORD, "b": Wish("doomed", "committed", body="c")}
    rows = {"a": GOOD, "b": DEAD, "c": DEAD}
    ran = (start("a", 1), start("b", 2))
    assert told(wishes, rows, *ran) == []
    assert told(wishes, {**rows, "c": GOOD}, *ran, start("c", 4)) == ["wrong end", "start after a failure"]
    assert told(wishes, {**rows, "c": replace(GOOD, state="blocked", ends=())}, *ran) == ["unfinished"]


def test_a_body_must_not_fail_if_every_member_completed() -> None:
    rows = {"a": GOOD, "b": GOOD, "c": DEAD}
    assert told(CHORD, rows, start("a", 1), start("b", 2), start("c", 4)) == ["wrong end"]


KEYED = {"a": Wish("unique", "committed", key="k"), "b": Wish("unique", "committed", key="k")}


def test_two_jobs_of_one_key_never_run_at_once() -> None:
    rows = {"a": GOOD, "b": GOOD}
    assert told(KEYED, rows, start("a", 1), start("b", 3)) == []
    assert told(KEYED, rows, start("a", 1), start("b", 1.5)) == ["two of one key"]
    other = {**KEYED, "b": Wish("unique", "committed", key="other")}
    assert told(other, rows, start("a", 1), start("b", 1.5)) == []


def test_a_run_that_was_lost_holds_no_key() -> None:
    rows = {"a": replace(GOOD, attempt=2, ends=("lost", "completed")), "b": GOOD}
    ran = (replace(start("a", 1), end=9.0), start("a", 2, attempt=2), start("b", 4))
    assert told(KEYED, rows, *ran) == []


def test_a_unique_job_may_have_been_replaced() -> None:
    rows = {"a": replace(GOOD, state="cancelled", attempt=0, ends=()), "b": GOOD}
    assert told(KEYED, rows, start("b", 1)) == []


def test_a_call_that_got_another_jobs_id_has_no_row_and_that_job_has_one() -> None:
    wishes = {"a": Wish("unique", "committed", key="k"), "b": Wish("unique", "committed", key="k", holder="a")}
    assert told(wishes, {"a": GOOD}, start("a", 1)) == []
    assert told(wishes, {"a": GOOD, "b": GOOD}, start("a", 1), start("b", 3)) == ["ghost"]
    wishes["a"] = Wish("unique", "unknown", key="k")
    assert told(wishes, {}) == ["lost"]


PAYING = {"a": Wish("paying", "committed")}


def test_a_committed_job_has_one_effect_of_its_last_attempt() -> None:
    assert told(PAYING, {"a": GOOD}, RAN, effects={"a": (1,)}) == []
    assert told(PAYING, {"a": GOOD}, RAN, effects={}) == ["effects"]
    assert told(PAYING, {"a": GOOD}, RAN, effects={"a": (1, 1)}) == ["effects"]
    assert told(PAYING, {"a": GOOD}, RAN, effects={"a": (2,)}) == ["effects"]


def test_a_job_that_did_not_commit_has_no_effect() -> None:
    poisoned = replace(GOOD, state="dead_letter", strikes=3, ends=("lost",))
    assert told(PAYING, {"a": poisoned}, RAN, effects={"a": (1,)}) == ["effects"]
    assert told({}, {}, effects={"a": (1,)}) == ["effects"]
    assert told({"a": Wish("noop", "committed")}, {"a": GOOD}, RAN, effects={"a": (1,)}) == ["effects"]


def test_a_commit_counts_as_work_even_if_its_process_died_right_after_it() -> None:
    killed = replace(RAN, end=None)
    assert told(PAYING, {"a": GOOD}, killed, effects={"a": (1,)}) == []
    assert told(PAYING, {"a": GOOD}, replace(killed, effect=None), effects={"a": (1,)}) == ["commit without work"]
