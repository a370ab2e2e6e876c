"""The door: what a call may hold, and the sentence for what it may not."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from jobs.engine.newjob import NewJob, check, job_key, priority_number
from jobs.engine.payload import DEEPEST, encode, encode_tags
from jobs.errors import InvalidJob

HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    "text", ["\x00", f"a{HIGH}", f"{LOW}b", HIGH * 2, HIGH + LOW + LOW, "\\ud83d" + LOW, HIGH + "\\ude00", "\\\\\x00"]
)
def test_nul_and_half_a_surrogate_pair_are_refused(text: str) -> None:
    with pytest.raises(InvalidJob, match="NUL character or half a surrogate pair"):
        encode("args", [text])


@pytest.mark.parametrize("text", ["\U0001f600", "\\u0000", "\\\\u0000", "\\ud83d", "\\" * 1001, '"\\', "é\u2028"])
def test_text_that_only_looks_like_it_is_taken(text: str) -> None:
    assert encode("args", [text])


def test_a_million_backslashes_are_checked_in_no_time(settings) -> None:
    assert encode("args", ["\\u" * 200_000])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": float("-inf")}])
def test_numbers_that_json_does_not_have_are_refused(value: object) -> None:
    with pytest.raises(InvalidJob, match=r"args can't be written as JSON: Out of range float"):
        encode("args", [value])


def test_an_object_is_refused_with_what_to_pass_instead() -> None:
    with pytest.raises(InvalidJob, match="a model's primary key instead of the model"):
        encode("args", [object()])


def test_a_payload_that_contains_itself_is_refused() -> None:
    loop: list = []
    loop.append(loop)
    with pytest.raises(InvalidJob, match="can't be written as JSON"):
        encode("args", loop)


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_payload_nested_deeper_than_a_worker_reads_is_refused() -> None:
    assert encode("args", nested(DEEPEST))
    with pytest.raises(InvalidJob, match=f"nested deeper than {DEEPEST} levels"):
        encode("args", nested(DEEPEST + 1))
    assert encode("args", [[]] * 1000 + ["[" * 1000]), "wide is not deep, and brackets in text are text"


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "nothing", "__value__": 1},
        {"__type__": "datetime", "__value__": "soon"},
        {"__type__": "decimal", "__value__": "x"},
        {"__type__": "uuid", "__value__": 3},
    ],
)
def test_a_dict_that_celery_would_take_for_a_type_of_its_own_is_refused(value: dict) -> None:
    with pytest.raises(InvalidJob, match="'__type__' and '__value__' that no worker can read"):
        encode("kwargs", {"x": value})
    assert encode("kwargs", {"x": {**value, "more": 1}})


def test_a_payload_longer_than_the_limit_is_refused_with_both_numbers(settings) -> None:
    with pytest.raises(InvalidJob, match=r"1,048,577 bytes of JSON; the limit JOBS_MAX_PAYLOAD is 1,048,576"):
        encode("args", "x" * (1_048_577 - 2))
    assert encode("args", "x" * (1_048_576 - 2))


def test_a_result_has_a_limit_of_its_own(settings) -> None:
    settings.JOBS_MAX_RESULT = 2_000_000
    assert encode("result", "x" * 1_999_998)
    with pytest.raises(InvalidJob, match="2,000,001 bytes of JSON; the limit JOBS_MAX_RESULT is 2,000,000"):
        encode("result", "x" * 1_999_999)


def test_a_uuid_is_its_own_key_and_any_other_text_has_one_of_its_own() -> None:
    id_ = uuid.uuid4()
    assert job_key(id_) == job_key(str(id_)) == job_key(id_.hex.upper()) == id_
    assert job_key("nightly") == job_key("nightly") != job_key("Nightly")
    assert job_key("nightly").version == 5


@pytest.mark.parametrize("task_id", [5, b"x", "x" * 501, "x" * 10_000_000, ["a"]])
def test_a_task_id_that_is_no_short_text_is_refused(task_id: object) -> None:
    with pytest.raises(InvalidJob, match="must be text of at most 500 characters, or a UUID"):
        job_key(task_id)


def test_a_task_id_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidJob, match="half a surrogate pair"):
        job_key(f"x{HIGH}")


@pytest.mark.parametrize(
    ("given", "number"), [("low", 0), ("NORMAL", 10), ("high", 20), ("critical", 30), (-100, -100), (100, 100)]
)
def test_a_priority_is_a_name_or_a_number(given: str | int, number: int) -> None:
    assert priority_number(given) == number


@pytest.mark.parametrize("given", [101, -101, 1.0, True, "urgent", "5", Decimal(5), [1]])
def test_any_other_priority_is_refused(given: object) -> None:
    with pytest.raises(InvalidJob, match=r"expected -100 to 100 or one of low, normal, high, critical"):
        priority_number(given)


@pytest.mark.parametrize("tags", [{"a": 1}, {1: "a"}, ["a"], "ab", [("a", "b")]])
def test_tags_map_text_to_text(tags: object) -> None:
    with pytest.raises(InvalidJob, match="Tags must map strings to strings"):
        encode_tags(tags)
    assert (encode_tags({"a": "b"}), encode_tags({}), encode_tags(None)) == ('{"a": "b"}', None, None)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"task": ""}, "needs a task and a queue"),
        ({"queue": ""}, "needs a task and a queue"),
        ({"task": "x" * 501}, "task .* at most 500 characters"),
        ({"queue": 5}, "queue '5' must be text"),
        ({"name": f"x{LOW}"}, "half a surrogate pair"),
        ({"reference_id": "a\x00b"}, "without NUL"),
        ({"created_by": 7}, "created_by '7' must be text"),
        ({"priority": 200}, "Priority 200 is not known"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"max_retries": 2**31}, "max_retries is 2147483648"),
        ({"max_retries": "many"}, "max_retries is 'many'"),
        ({"delay": float("inf")}, "delay is inf s"),
        ({"expires": float("nan")}, "expires is nan s"),
        ({"delay": 1e12}, "at most 3155760000 s"),
        ({"run_at": datetime(2030, 1, 1)}, "expected an aware datetime"),  # noqa: DTZ001
        ({"expires_at": datetime.max.replace(tzinfo=UTC)}, "from 1970 to 9999-12-30"),
    ],
)
def test_what_postgresql_would_refuse_is_refused_before(columns: dict, said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        check(NewJob(**{"task": "t", **columns}))
