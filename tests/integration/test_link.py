"""The platform's own connection: patient with a server that answers, quick with one that does not."""

import pytest
from django.db import connection

from jobs.engine.link import Link
from tests.support.engine import opened


def session(link: Link, name: str) -> str:
    return link._open().execute("SELECT current_setting(%s)", [name]).fetchone()[0]


def test_both_ends_notice_a_peer_that_is_gone_without_a_word(link: Link) -> None:
    ours = link._open().info.get_parameters()
    assert ours["tcp_user_timeout"] == "25000"
    assert int(ours["keepalives_idle"]) + int(ours["keepalives_interval"]) * int(ours["keepalives_count"]) == 25
    on_tcp = not link._open().info.host.startswith("/")
    seconds = [int(session(link, f"tcp_keepalives_{name}")) for name in ("idle", "interval", "count")]
    assert seconds == ([5, 2, 2] if on_tcp else [0, 0, 0])


@pytest.fixture
def assume(transactional_db):
    """Have Django assume a role; its own connection goes back to none."""
    options = connection.settings_dict["OPTIONS"]
    yield lambda role: options.update(assume_role=role)
    options.pop("assume_role", None)
    connection.close()


def test_the_role_that_django_assumes_is_the_links_too(assume) -> None:
    assume("pg_monitor")
    with opened() as link:
        assert link._open().execute("SELECT current_user").fetchone() == ("pg_monitor",)


def test_a_connection_without_its_role_is_not_kept(assume) -> None:
    assume("no such role")
    with opened() as link:
        for _ in range(2):
            with pytest.raises(Exception, match='role "no such role" does not exist'):
                link.rows("alive")
