"""The admin in a real browser, driven over the WebDriver protocol."""

import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from jobs.models import AuditEntry, Job
from tests.support.rows import make_attempt, make_job
from tests.support.wait import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id in the protocol

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on the PATH"),
    pytest.mark.django_db(transaction=True),
]


class Browser:
    """One window; every element is waited for up to 10 s."""

    def __init__(self, port: int, profile: Path) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        wait_until(self._is_ready, within=20, what="chromedriver answers")
        options = {"binary": CHROMIUM, "args": arguments(profile)}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        self._session = f"/session/{self._post('/session', capabilities=capabilities)['sessionId']}"
        self._ask("timeouts", implicit=10_000)

    def open(self, url: str) -> None:
        self._ask("url", url=url)

    def type(self, selector: str, text: str) -> None:
        self._ask(f"element/{self._find('css selector', selector)}/value", text=text)

    def click(self, selector: str) -> None:
        self._ask(f"element/{self._find('css selector', selector)}/click")

    def follow(self, words: str) -> None:
        self._ask(f"element/{self._find('partial link text', words)}/click")

    def text(self, selector: str) -> str:
        return self._get(f"element/{self._find('css selector', selector)}/text")

    def shows(self, selector: str, text: str) -> bool:
        """Whether an element has that text now; a script may replace it at any moment."""
        script = "return document.querySelector(arguments[0])?.textContent"
        return self._ask("execute/sync", script=script, args=[selector]) == text

    def attribute(self, selector: str, name: str) -> str:
        return self._get(f"element/{self._find('css selector', selector)}/attribute/{name}")

    def title(self) -> str:
        return self._get("title")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._get("screenshot")))

    def close(self) -> None:
        self._http.delete(self._session)
        self._http.close()

    def _find(self, using: str, value: str) -> str:
        return self._ask("element", using=using, value=value)[ELEMENT]

    def _ask(self, command: str, **parameters: Any) -> Any:
        return self._post(f"{self._session}/{command}", **parameters)

    def _post(self, path: str, **parameters: Any) -> Any:
        return answer(self._http.post(path, json=parameters))

    def _get(self, command: str) -> Any:
        return answer(self._http.get(f"{self._session}/{command}"))

    def _is_ready(self) -> bool:
        try:
            return answer(self._http.get("/status"))["ready"]
        except httpx.TransportError:
            return False


def answer(response: httpx.Response) -> Any:
    value = response.json()["value"]
    assert response.status_code == 200, value["message"]
    return value


def arguments(profile: Path) -> list[str]:
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    window = ["--headless", "--disable-gpu", "--no-first-run", "--window-size=1400,1000", f"--user-data-dir={profile}"]
    # Chromium refuses to run its sandbox as root.
    return [*window, *quiet, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--log-level=SEVERE"], stdout=subprocess.DEVNULL)
    try:
        window = Browser(port, tmp_path / "profile")
        yield window
        window.close()
    finally:
        driver.terminate()
        driver.wait(20)


def test_an_operator_signs_in_reads_a_dead_letter_and_requeues_it(browser: Browser, live_server) -> None:
    User.objects.create_superuser("alice", password="a long password")
    markup = "<script>document.title = 'broken into'</script>"
    dead = make_job(state="dead_letter", name=markup, error=f"ValueError: {markup}", args=[markup])
    make_attempt(dead, error=f"ValueError: {markup}", traceback=f"Traceback (most recent call last)\n{markup}")

    browser.open(live_server.url + reverse("admin:jobs_job_changelist"))
    browser.type("#id_username", "alice")
    browser.type("#id_password", "a long password")
    browser.click("input[type=submit]")
    assert "dead letter" in browser.text("#result_list .jobs-dead_letter")

    browser.open(live_server.url + reverse("admin:jobs_deadletter_changelist"))
    browser.follow("tests.support.tasks.add")
    assert markup in browser.text(".field-error_text pre")
    browser.click(".jobs-attempts summary")
    assert markup in browser.text(".jobs-attempts details pre")
    assert browser.title() != "broken into"

    browser.type("#requeue-reason", "the mail server is back")
    browser.click(".jobs-requeue button")
    assert browser.text(".messagelist .success") == "Requeued 1 job."
    assert "pending" in browser.text(".field-state_badge .readonly")
    assert Job.objects.get(pk=dead).state == "pending"
    assert AuditEntry.objects.get().detail == {"reason": "the mail server is back"}


def test_selected_dead_letters_are_requeued_from_their_list(browser: Browser, live_server) -> None:
    User.objects.create_superuser("alice", password="a long password")
    for _ in range(3):
        make_job(state="dead_letter")
    browser.open(live_server.url + reverse("admin:jobs_deadletter_changelist"))
    browser.type("#id_username", "alice")
    browser.type("#id_password", "a long password")
    browser.click("input[type=submit]")
    browser.click("#action-toggle")
    browser.click("select[name=action] option[value=requeue_selected]")
    browser.click("button[name=index]")
    assert browser.text(".messagelist .success") == "Requeued 3 jobs."
    assert "3 jobs wait and no dispatcher is running" in browser.text(".jobs-notices")


def test_a_dead_letter_is_requeued_with_other_arguments(browser: Browser, live_server) -> None:
    User.objects.create_superuser("alice", password="a long password")
    dead = make_job(state="dead_letter", args=[1, "two"], error="TypeError: a number and a text")
    browser.open(live_server.url + reverse("admin:jobs_job_change", args=[dead]))
    browser.type("#id_username", "alice")
    browser.type("#id_password", "a long password")
    browser.click("input[type=submit]")
    assert "It failed for good" in browser.text(".jobs-reasons")

    browser.follow("Edit and requeue")
    browser.type("#id_kwargs", "\ue003\ue003" + '{"y": 2}')  # over the braces that stand there
    browser.click(".jobs-edit button")
    assert "multiple values for argument" in browser.text(".jobs-edit .errorlist")
    assert Job.objects.get(pk=dead).state == "dead_letter"
    browser.open(live_server.url + reverse("admin:jobs_job_edit", args=[dead]))
    browser.type("#id_args", "\ue009a\ue000[1, 2]")  # all of it replaced
    browser.click(".jobs-edit button")
    assert browser.text(".messagelist .success") == "Requeued 1 job."
    assert Job.objects.get(pk=dead).args == "[1, 2]"


def test_a_schedule_is_made_by_its_form_run_now_and_seen_in_the_list(browser: Browser, live_server) -> None:
    User.objects.create_superuser("alice", password="a long password")
    browser.open(live_server.url + reverse("admin:django_celery_beat_periodictask_add"))
    browser.type("#id_username", "alice")
    browser.type("#id_password", "a long password")
    browser.click("input[type=submit]")
    browser.type("#id_name", "nightly")
    browser.type("#id_when", "30 2 * * mon-fri")
    browser.type("#id_zone", "\ue009a\ue000Europe/Berlin")
    words = "At 02:30, Monday through Friday (Europe/Berlin)."
    wait_until(lambda: browser.shows("#preview-body.is-live .sched-words", words), within=10, what="a live preview")
    browser.click("#id_task option[value='tests.support.tasks.add']")
    browser.click("input[name=_preview]")
    assert browser.text("#preview-body:not(.is-live) .sched-words") == words
    assert "UTC" in browser.text(".sched-dues tbody tr:nth-child(10)")
    assert "missing a required argument" in browser.text(".field-args .errorlist")
    browser.type("#id_args", "\ue009a\ue000[1, 2]")
    browser.click("input[name=_continue]")
    assert "was added successfully" in browser.text(".messagelist .success")

    browser.click(".sched-do-run")
    assert "Started a run: job" in browser.text(".messagelist .success")
    job = Job.objects.get()
    assert (job.task, job.args, job.state) == ("tests.support.tasks.add", "[1, 2]", "pending")
    assert "manual by alice" in browser.text(".sched-runs tbody tr")
    browser.open(live_server.url + reverse("admin:django_celery_beat_periodictask_changelist"))
    assert browser.attribute("#result_list .sched-strip", "aria-label") == "The latest 1: 1 pending"
    assert "manual by alice" in browser.attribute("#result_list .sched-bar", "title")
