"""Each guard of the clean-up of temporary files has a test that fails without it."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.tasks.tempfiles import conf, in_use, opening, sweep
from tests.support.breaking import Twin
from tests.unit import test_tempfiles as tests

Level, Sweep = sweep.Level, sweep.Sweep
LAST_LOOK = (Sweep, "_removed")

TABLE: list[tuple[Callable[..., None], Twin]] = [
    (tests.test_links_are_removed_and_never_followed, Twin((Sweep, "_is_gone"), "follow_symlinks=False", "")),
    (
        tests.test_a_folder_swapped_for_another_one_is_not_entered,
        Twin((Sweep, "_folder"), "not _is_same(os.fstat(fd), found)", "False"),
    ),
    (tests.test_a_file_swapped_for_another_one_stays, Twin(LAST_LOOK, "not _is_same(now, found)", "False")),
    (
        tests.test_a_file_swapped_for_a_pipe_does_not_block,
        Twin((sweep, "_is_same"), " and stat.S_IFMT", " or stat.S_IFMT"),
    ),
    (tests.test_a_file_that_is_written_to_between_two_looks_stays, Twin(LAST_LOOK, "not self._is_old(now)", "False")),
    (tests.test_a_dry_run_counts_the_same_and_removes_nothing, Twin(LAST_LOOK, "not self._dry_run", "True")),
    (
        tests.test_a_tree_deeper_than_descriptors_reach_is_left_and_counted,
        Twin((Sweep, "_folder"), "level.depth >= DEEPEST", "False"),
    ),
    (
        tests.test_a_file_that_vanishes_meanwhile_is_no_error,
        Twin((Sweep, "_is_gone"), "except FileNotFoundError", "except ZeroDivisionError"),
    ),
    (
        tests.test_a_folder_that_is_filled_meanwhile_stays,
        Twin((Sweep, "_empty_removed"), "error.errno not in (errno.ENOTEMPTY, errno.EEXIST)", "True"),
    ),
    (tests.test_what_changed_within_the_hours_stays, Twin((Sweep, "_is_old"), "< self._before", "< 1e99")),
    (
        tests.test_a_locked_folder_stays_with_all_that_is_in_it,
        Twin((Sweep, "_empty"), "in_use.is_locked(level.fd)", "False"),
    ),
    (
        tests.test_what_was_moved_or_unpacked_here_lately_is_young_however_old_its_content_is,
        Twin((Sweep, "_is_old"), "max(found.st_mtime, found.st_ctime)", "found.st_mtime"),
    ),
    (
        tests.test_a_file_that_another_process_has_locked_stays,
        Twin((in_use, "is_locked"), "return True", "return False"),
    ),
    (tests.test_sockets_and_pipes_stay, Twin((Sweep, "_file"), "stat.S_ISREG(found.st_mode)", "True")),
    (
        tests.test_a_link_as_the_folder_or_on_the_way_to_it_is_refused,
        Twin((opening, "opened"), "ONLY_FOLDERS", "os.O_DIRECTORY"),
    ),
    (tests.test_no_descriptor_stays_open, Twin((Sweep, "clean"), "os.close(fd)", "pass")),
    (
        tests.test_a_hard_link_loses_its_name_here_only_and_frees_nothing,
        Twin((tests.sweep.Tally, "file_removed"), " if found.st_nlink == 1 else 0", ""),
    ),
]
OPEN = (
    tests.test_an_open_file_stays_until_it_is_closed,
    Twin((in_use, "is_open_elsewhere"), "return True", "return False"),
)
MOVED = (
    tests.test_a_folder_moved_away_during_the_walk_keeps_its_files,
    Twin((Level, "is_in_place"), "return False", "return True"),
)
TOO_MUCH = (
    tests.test_a_folder_that_is_too_much_or_not_one_place_is_refused,
    Twin((conf, "_problem"), "not path.is_absolute()", "False"),
)
SEVERAL_WAYS = [
    (*OPEN, {"mode": "r"}),
    (*MOVED, {"moved": "a"}),
    (*MOVED, {"moved": "a/b"}),
    (*TOO_MUCH, {"path": "relative"}),
    (TOO_MUCH[0], Twin((conf, "_problem"), '".." in path.parts', "False"), {"path": "/tmp/../etc"}),
    (TOO_MUCH[0], Twin((conf, "_problem"), 'folder.startswith("//")', "False"), {"path": "//"}),
    (TOO_MUCH[0], Twin((conf, "_problem"), "place.is_relative_to(path)", "False"), {"path": "/"}),
]


@pytest.mark.parametrize(
    ("test", "twin", "given"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}") for row in [*((*row, {}) for row in TABLE), *SEVERAL_WAYS]],
)
def test_it_fails_without_its_guard(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path, test, twin: Twin, given: dict
) -> None:
    wanted = {name for name in inspect.signature(test).parameters if name not in given}
    fixtures = {name: request.getfixturevalue(name) for name in sorted(wanted)}
    twin.apply(monkeypatch, tmp_path)
    with pytest.raises((AssertionError, LookupError, OSError, pytest.fail.Exception)):
        test(**fixtures, **given)


def test_a_link_in_the_middle_of_a_path_is_followed_without_the_guard_of_every_part(
    monkeypatch: pytest.MonkeyPatch, folder: Path, precious: Path
) -> None:
    monkeypatch.setattr(opening, "PASSING", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises((AssertionError, LookupError, OSError)):
        tests.test_a_link_as_the_folder_or_on_the_way_to_it_is_refused(folder, precious)


folder, precious = tests.folder, tests.precious
