"""`tempfiles.cleanup` on real folders: what goes, what stays, and what an attacker can't make it delete."""

import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from jobs.errors import InvalidFolder
from jobs.tasks.tempfiles import cleanup, opening, sweep, temporary_folder
from jobs.tasks.tempfiles.cleanup import clean
from jobs.tasks.tempfiles.conf import TempfilesSettings, tempfiles_settings
from tests.support.attacks import before
from tests.support.fleet import ROOT

LATER = 25 * 3600
"""Seconds after which what a test has just made is old; the time of a change can't be set back."""
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "cleaned"
    made.mkdir()
    return made


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file outside."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("precious")
    return path


def run(*folders: Path, dry_run: bool = False, later: float = LATER, hours: float = 24) -> dict:
    settings = TempfilesSettings(folders=tuple(map(str, folders)), hours=hours)
    return clean(settings, dry_run=dry_run, now=time.time() + later, progress=lambda *_: None)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- what goes and what stays ---


def test_old_files_links_and_emptied_folders_go_and_the_folder_itself_stays(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_bytes(b"x" * 1000)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("nowhere")
    said = run(folder)
    assert said["removed"] == {"files": 2, "folders": 3, "bytes": 1000 + len("nowhere")}
    assert (said["seen"], said["kept"], said["failed"]) == (5, {}, {})
    assert folder.is_dir()
    assert left(folder) == []


def test_what_changed_within_the_hours_stays(folder: Path) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "file").touch()
    said = run(folder, later=LATER - 2 * 3600)
    assert said["removed"]["files"] == said["removed"]["folders"] == 0
    assert said["kept"] == {"young": 1, "not empty": 1}


def test_what_was_moved_or_unpacked_here_lately_is_young_however_old_its_content_is(folder: Path) -> None:
    (folder / "unpacked").touch()
    os.utime(folder / "unpacked", (0, 0))
    assert run(folder, later=3600)["kept"] == {"young": 1}


def test_a_file_is_old_only_after_the_hours(folder: Path) -> None:
    (folder / "file").touch()
    settings = TempfilesSettings(folders=(str(folder),), hours=2)
    changed = (folder / "file").stat().st_ctime
    for now, removed in ((changed + 7200, 0), (changed + 7200.001, 1)):
        assert clean(settings, dry_run=False, now=now, progress=lambda *_: None)["removed"]["files"] == removed


def test_a_dry_run_counts_the_same_and_removes_nothing(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    (folder / "link").symlink_to("a")
    before = left(folder)
    dry = run(folder, dry_run=True)
    assert left(folder) == before
    assert dry == {**run(folder), "dry_run": True}
    assert left(folder) == []


def test_names_of_any_bytes_are_removed(folder: Path) -> None:
    for name in (b"two\nlines", b"\xff\xfe", b"-rf", b"*", "é".encode(), b" "):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    assert run(folder)["removed"]["files"] == 6
    assert left(folder) == []


def test_a_folder_that_is_not_there_is_named_and_no_error(folder: Path) -> None:
    said = run(folder / "none", folder)
    assert (said["missing_folders"], said["failed"]) == ([repr(str(folder / "none"))], {})


def test_progress_is_reported_on_the_way_and_in_the_end(folder: Path) -> None:
    for number in range(250):
        (folder / str(number)).touch()
    told: list[tuple[int, int | None, str]] = []
    settings = TempfilesSettings(folders=(str(folder),))
    clean(settings, dry_run=False, now=time.time() + LATER, progress=lambda *step: told.append(step))
    assert [step[0] for step in told] == [100, 200, 250]
    assert told[-1] == (250, None, "seen 250, removed 250")


def test_a_large_folder_is_emptied_in_one_run(folder: Path) -> None:
    for number in range(5000):
        (folder / str(number)).touch()
    assert run(folder)["removed"]["files"] == 5000


# --- what is in use ---


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="only Linux tells whether a file is open")
def test_an_open_file_stays_until_it_is_closed(folder: Path, mode: str) -> None:
    (folder / "file").touch()
    with open(folder / "file", mode):
        assert run(folder)["kept"] == {"in use": 1}
    assert run(folder)["removed"]["files"] == 1


def test_a_file_that_another_process_has_locked_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)
    (folder / "file").touch()
    with open(folder / "file") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert run(folder)["kept"] == {"in use": 1}
    assert run(folder)["removed"]["files"] == 1


def test_a_locked_folder_stays_with_all_that_is_in_it(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "file").touch()
    fd = os.open(folder / "a", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert run(folder)["kept"] == {"in use": 1, "not empty": 1}
    os.close(fd)
    assert run(folder)["removed"] == {"files": 1, "folders": 1, "bytes": 0}


def test_sockets_and_pipes_stay(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
    assert run(folder)["kept"] == {"socket, pipe or device": 2}
    assert left(folder) == ["pipe", "socket"]


def test_a_file_that_vanishes_meanwhile_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "file").touch()
    before(monkeypatch, "unlink", "file", (folder / "a" / "file").unlink)
    said = run(folder)
    assert (said["kept"], said["failed"]) == ({"vanished": 1}, {})
    assert left(folder) == []


def test_a_folder_that_is_filled_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").mkdir()
    before(monkeypatch, "rmdir", "a", (folder / "a" / "new").touch)
    said = run(folder)
    assert (said["kept"], said["failed"]) == ({"not empty": 1}, {})
    assert left(folder) == ["a", "a/new"]


def test_a_file_that_is_written_to_between_two_looks_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "file"
    path.touch()
    old = path.stat().st_ctime

    def write() -> None:
        while path.stat().st_ctime < old + 0.001:
            path.write_text("new")

    before(monkeypatch, "stat", "file", write, time=2)
    settings = TempfilesSettings(folders=(str(folder),), hours=1)
    said = clean(settings, dry_run=False, now=old + 3600.0005, progress=lambda *_: None)
    assert said["kept"] == {"young": 1}
    assert path.read_text() == "new"


# --- attacks ---


def test_links_are_removed_and_never_followed(folder: Path, precious: Path) -> None:
    (folder / "to file").symlink_to(precious)
    (folder / "to folder").symlink_to(precious.parent)
    assert run(folder)["removed"]["files"] == 2
    assert left(folder) == []
    assert precious.read_text() == "precious"


def test_a_hard_link_loses_its_name_here_only_and_frees_nothing(folder: Path, precious: Path) -> None:
    os.link(precious, folder / "again")
    assert run(folder)["removed"] == {"files": 1, "folders": 0, "bytes": 0}
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("call", ["open", "stat"])
def test_a_folder_swapped_for_a_link_leads_nowhere(
    folder: Path, precious: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    victim = folder / "a"
    victim.mkdir()

    def swap() -> None:
        victim.rename(folder.parent / "aside")
        victim.symlink_to(precious.parent)

    before(monkeypatch, call, "a", swap)
    run(folder)
    assert precious.read_text() == "precious"


def test_a_folder_swapped_for_another_one_is_not_entered(
    folder: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = folder / "a"
    victim.mkdir()

    def swap() -> None:
        victim.rename(folder.parent / "aside")
        precious.parent.rename(victim)

    before(monkeypatch, "open", "a", swap)
    assert run(folder)["kept"] == {"replaced": 1}
    assert (victim / "precious").read_text() == "precious"


def test_a_file_swapped_for_another_one_stays(folder: Path, precious: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").touch()
    before(monkeypatch, "stat", "file", lambda: precious.rename(folder / "file"), time=2)
    assert run(folder)["kept"] == {"replaced": 1}
    assert (folder / "file").read_text() == "precious"


def test_a_file_swapped_for_a_pipe_does_not_block(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap() -> None:
        (folder / "file").unlink()
        os.mkfifo(folder / "file")

    (folder / "file").touch()
    before(monkeypatch, "open", "file", swap)
    assert run(folder)["removed"]["files"] == 0
    assert left(folder) == ["file"]


@pytest.mark.parametrize("moved", ["a", "a/b"])
def test_a_folder_moved_away_during_the_walk_keeps_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """An upload that has just been put where it is to stay."""
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    kept = folder.parent / "kept"
    before(monkeypatch, "stat", "file", lambda: (folder / moved).rename(kept), time=2)
    assert run(folder)["kept"]["moved away"] == 1
    assert [path.name for path in kept.rglob("file")] == ["file"]


def test_a_link_as_the_folder_or_on_the_way_to_it_is_refused(folder: Path, precious: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(precious.parent)
    (folder.parent / "way").symlink_to(folder.parent)
    for path, link in ((folder, folder), (folder.parent / "way" / "outside", folder.parent / "way")):
        said = run(path)
        assert f"{str(link)!r} is a symbolic link or no folder: write the real path" in said["examples"][0]
        assert said["failed"].keys() == {next(iter(said["failed"]))}
    assert precious.read_text() == "precious"


def test_a_tree_deeper_than_descriptors_reach_is_left_and_counted(folder: Path) -> None:
    path = folder
    for _ in range(sweep.DEEPEST + 3):
        path = path / "d"
        path.mkdir()
    said = run(folder)
    assert said["kept"] == {"too deep": 1, "not empty": sweep.DEEPEST}
    assert len(os.listdir("/dev/fd")) < 200


def test_no_descriptor_stays_open(folder: Path, precious: Path) -> None:
    def open_now() -> int:
        return len(os.listdir("/dev/fd"))

    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    before = open_now()
    run(folder, folder / "none", precious)
    assert open_now() == before


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of an ordinary user, whom the test is while it runs; root may read everything."""
    made = Path(tempfile.mkdtemp()).resolve()
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(made, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield made
    if is_root:
        os.seteuid(0)
    for path in (made, *made.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(made)


def test_what_can_not_be_read_or_removed_is_counted_and_named_and_the_rest_goes(
    unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (unprivileged / "closed\n").mkdir(mode=0)
    (unprivileged / "kept").mkdir()
    (unprivileged / "kept" / "file").touch()
    (unprivileged / "kept").chmod(0o500)
    (unprivileged / "unreadable").touch(mode=0)
    (unprivileged / "file").touch()
    with caplog.at_level(logging.WARNING, "jobs"):
        said = run(unprivileged)
    assert said["failed"] == {"Permission denied": 3}
    assert f"'{unprivileged}/closed\\n': Permission denied" in said["examples"]
    assert said["removed"]["files"] == 1
    assert json.loads(json.dumps(said)) == said
    [record] = [record.getMessage() for record in caplog.records]
    assert record.startswith("3 temporary files or folders could not be removed: give this user the right to")
    assert "\n" not in record


def test_at_most_20_of_the_paths_that_could_not_be_removed_are_named(unprivileged: Path) -> None:
    for number in range(30):
        (unprivileged / str(number)).touch(mode=0)
    said = run(unprivileged)
    assert (said["failed"], len(said["examples"])) == ({"Permission denied": 30}, 20)


MOUNTED = """
import django, sys, time; django.setup()
from jobs.tasks.tempfiles.cleanup import clean
from jobs.tasks.tempfiles.conf import TempfilesSettings
settings = TempfilesSettings(folders=(sys.argv[1],))
print(clean(settings, dry_run=False, now=time.time() + 90_000, progress=lambda *_: None)["kept"])
"""


def test_another_mount_of_the_same_file_system_is_not_entered(folder: Path, precious: Path) -> None:
    """As a container's volume is, which lies on the same disk."""
    (folder / "volume").mkdir()
    mount = f'mount --bind "{precious.parent}" "{folder}/volume" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    said = subprocess.run(
        [*command, sys.executable, "-c", MOUNTED, str(folder)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.support.settings"},
        capture_output=True,
        text=True,
    )
    assert said.stdout == "{'mounted': 1}\n", said.stderr
    assert precious.read_text() == "precious"


def test_another_file_system_is_another_mount_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    fd, other = os.open("/", os.O_RDONLY), os.open("/dev", os.O_RDONLY)
    monkeypatch.setattr("builtins.open", lambda *_: (_ for _ in ()).throw(FileNotFoundError()))
    assert opening.mount_of(fd) == (os.fstat(fd).st_dev,)
    assert opening.mount_of(fd) != opening.mount_of(other)
    os.close(fd)
    os.close(other)


# --- settings ---


@pytest.mark.parametrize("path", ["/", "//", "/./", "relative", "./tmp", "", "~/tmp", "/tmp/../etc", "/tmp/\0"])
def test_a_folder_that_is_too_much_or_not_one_place_is_refused(settings, path: str) -> None:
    settings.TEMPFILES_FOLDERS = [path]
    with pytest.raises(ImproperlyConfigured, match=r"^TEMPFILES_FOLDERS has '"):
        tempfiles_settings()


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (ROOT, "this program"),
        (ROOT / "jobs", "this program"),
        (Path(sys.prefix).resolve(), "its packages"),
        (Path.home().resolve(), "the home directory"),
        (Path("/"), "this program"),
    ],
)
def test_a_folder_that_contains_what_is_needed_is_refused(settings, path: Path, what: str) -> None:
    settings.TEMPFILES_FOLDERS = [str(path)]
    with pytest.raises(ImproperlyConfigured, match=f"which contains {what}.*nothing but temporary files"):
        tempfiles_settings()


@pytest.mark.parametrize("value", [7, {"/a": 1}, [1], [None]])
def test_what_is_no_list_of_folders_is_refused(settings, value: object) -> None:
    settings.TEMPFILES_FOLDERS = value
    with pytest.raises(ImproperlyConfigured, match=r"TEMPFILES_FOLDERS is .*; expected a list of folders, or one text"):
        tempfiles_settings()


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf"), "soon"])
def test_hours_that_are_no_time_are_refused(settings, hours: object) -> None:
    settings.TEMPFILES_HOURS = hours
    with pytest.raises(ImproperlyConfigured, match="TEMPFILES_HOURS is"):
        tempfiles_settings()


def test_folders_come_from_a_list_or_from_the_environment(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TEMPFILES_FOLDERS = [Path("/var/a"), "/var/b"]
    assert tempfiles_settings().folders == ("/var/a", "/var/b")
    del settings.TEMPFILES_FOLDERS
    tempfiles_settings.cache_clear()
    monkeypatch.setenv("TEMPFILES_FOLDERS", "/var/c:/var/d")
    assert tempfiles_settings().folders == ("/var/c", "/var/d")
    tempfiles_settings.cache_clear()


def test_by_default_only_a_folder_of_the_platforms_own_is_cleaned() -> None:
    system = os.path.realpath(tempfile.gettempdir())
    assert TempfilesSettings().folders == (f"{system}/jobs-{os.getuid()}",)
    assert TempfilesSettings().problems() == []
    assert [Path(folder).name for folder in tempfiles_settings().folders] == ["tmp"]
    assert Path(tempfiles_settings().folders[0]).parent.name != ""


def test_the_task_takes_folders_and_hours_from_the_settings(settings, folder: Path) -> None:
    settings.TEMPFILES_FOLDERS, settings.TEMPFILES_HOURS = [folder], 1e-9
    (folder / "file").touch()
    assert cleanup.apply(kwargs={"dry_run": True}).get()["removed"]["files"] == 1
    assert left(folder) == ["file"]
    assert cleanup.apply().get()["removed"]["files"] == 1
    assert left(folder) == []


def test_a_dry_run_is_asked_for_by_true_or_false_only() -> None:
    with pytest.raises(TypeError, match="dry_run='no': pass true or false"):
        cleanup.apply(kwargs={"dry_run": "no"}).get()


def test_the_task_is_final_at_its_first_failure() -> None:
    assert (cleanup.name, cleanup.max_retries, cleanup.dead_letter) == ("tempfiles.cleanup", 0, False)


# --- where tasks put theirs ---


def test_the_first_folder_is_made_private_when_it_is_asked_for(settings, folder: Path) -> None:
    settings.TEMPFILES_FOLDERS = [folder / "new" / "tmp", "/nowhere"]
    assert temporary_folder() == folder / "new" / "tmp"
    assert temporary_folder().stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_a_link_or_of_another_user_is_refused(settings, folder: Path, unprivileged: Path) -> None:
    if os.geteuid() != NOBODY:
        pytest.skip("only root makes what belongs to another user")
    (unprivileged / "link").symlink_to(unprivileged)
    os.seteuid(0)
    (unprivileged / "other").mkdir()
    os.chown(unprivileged / "other", 12345, 12345)
    os.seteuid(NOBODY)
    for name in ("link", "other"):
        settings.TEMPFILES_FOLDERS = [unprivileged / name]
        with pytest.raises(InvalidFolder, match="is not a folder of this user or of root"):
            temporary_folder()


def test_a_folder_that_can_not_be_made_is_named(settings, folder: Path) -> None:
    (folder / "file").touch()
    settings.TEMPFILES_FOLDERS = [folder / "file" / "tmp"]
    with pytest.raises(InvalidFolder, match=r"Cannot make .*/file/tmp: Not a directory\. Name another"):
        temporary_folder()
    settings.TEMPFILES_FOLDERS = []
    with pytest.raises(InvalidFolder, match="TEMPFILES_FOLDERS is empty"):
        temporary_folder()
