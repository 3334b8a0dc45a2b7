"""What is made up for a bare checkout, and what never is."""

import json
import os
import subprocess
import sys

import pytest

from config import embedded, environment, pytest_servers

OURS = {*environment.SECRETS, "DATABASE_URL", "REDIS_URL", "DEBUG", "WEB_PORT", "SANDBOX_PORT", "SANDBOX_URL"}
OURS |= {"PUBLIC_BASE_URL", "AFRICASTALKING_BASE_URL", "DARAJA_BASE_URL", "PHONE_SIMULATOR", "SECURE_COOKIES"}
OURS |= {"JIRANI_VAR"}


@pytest.fixture
def bare(monkeypatch):
    """An environment in which nobody has set anything of ours."""
    for name in OURS:
        # Set before it is deleted, so that monkeypatch takes away what the code under test sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


class TestSecrets:
    def test_are_made_once(self, tmp_path):
        assert environment.load_secrets(tmp_path) == environment.load_secrets(tmp_path)

    def test_differ_between_installations(self, tmp_path):
        one, other = environment.load_secrets(tmp_path / "one"), environment.load_secrets(tmp_path / "other")
        assert not set(one.values()) & set(other.values())

    def test_are_for_nobody_elses_eyes(self, tmp_path):
        environment.load_secrets(tmp_path)
        assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0

    def test_gain_what_a_newer_version_needs_and_keep_the_rest(self, tmp_path):
        (tmp_path / "secrets.json").write_text(json.dumps({"SECRET_KEY": "kept"}))
        known = environment.load_secrets(tmp_path)
        assert known["SECRET_KEY"] == "kept"
        assert known["PIN_PEPPER"] == environment.load_secrets(tmp_path)["PIN_PEPPER"] != ""


class TestFill:
    def test_leaves_alone_what_is_set(self, bare, tmp_path):
        bare.setenv("PIN_PEPPER", "from outside")
        environment.fill(tmp_path)
        assert os.environ["PIN_PEPPER"] == "from outside"
        assert os.environ["FIELD_KEY"] == environment.load_secrets(tmp_path)["FIELD_KEY"]

    def test_takes_an_empty_value_for_unset(self, bare, tmp_path):
        bare.setenv("FIELD_KEY", "")
        environment.fill(tmp_path)
        assert os.environ["FIELD_KEY"]

    def test_lets_every_address_follow_its_port(self, bare, tmp_path):
        bare.setenv("WEB_PORT", "8042")
        bare.setenv("SANDBOX_PORT", "8142")
        environment.fill(tmp_path)
        assert os.environ["PUBLIC_BASE_URL"] == "http://127.0.0.1:8042"
        assert os.environ["DARAJA_BASE_URL"] == os.environ["SANDBOX_URL"] == "http://127.0.0.1:8142"

    def test_puts_no_password_of_a_person_into_the_environment(self, bare, tmp_path):
        environment.fill(tmp_path)
        assert not environment.PASSWORDS.keys() & os.environ.keys()


class TestPrepare:
    def test_makes_nothing_up_where_both_servers_are_named(self, bare, tmp_path):
        bare.setenv("DATABASE_URL", "postgres://db.example/jirani")
        bare.setenv("REDIS_URL", "redis://redis.example")
        environment.prepare(tmp_path / "var")
        assert not set(environment.SECRETS) & os.environ.keys()
        assert not (tmp_path / "var").exists()

    def test_starts_only_the_server_that_is_not_named(self, bare, tmp_path):
        bare.setenv("DATABASE_URL", "postgres://db.example/jirani")
        try:
            environment.prepare(tmp_path)
            assert os.environ["DATABASE_URL"] == "postgres://db.example/jirani"
            assert os.environ["REDIS_URL"].startswith("redis://:")
            assert not (tmp_path / "postgres").exists()
        finally:
            embedded.stop(tmp_path)


def test_a_command_without_settings_says_what_it_lacks_in_production():
    given = {"DATABASE_URL": "postgres://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=embedded.REPOSITORY, env=given, capture_output=True, text=True
    )
    assert done.returncode
    assert "SECRET_KEY" in done.stderr


def test_sessions_side_by_side_take_different_slots(tmp_path, monkeypatch):
    monkeypatch.setattr(pytest_servers, "_slot_lock", None)
    mine = pytest_servers._take_slot(tmp_path)
    command = "import sys, pathlib; from config import pytest_servers; "
    command += "print(pytest_servers._take_slot(pathlib.Path(sys.argv[1])))"
    theirs = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path)],
        cwd=embedded.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert (mine, int(theirs)) == (0, 1)


class TestSplitSession:
    """pytest-xdist hands its environment down, and each part needs a database and a Redis of its own."""

    @pytest.fixture(autouse=True)
    def whole(self, monkeypatch):
        for name in ("DATABASE_URL", "REDIS_URL", "JIRANI_TEST_CHOOSES", "PYTEST_XDIST_WORKER"):
            monkeypatch.delenv(name, raising=False)

    def test_a_part_chooses_what_the_whole_chose(self, monkeypatch):
        assert pytest_servers._ours() == ["DATABASE_URL", "REDIS_URL"]
        monkeypatch.setenv("DATABASE_URL", "postgres://127.0.0.1/jirani_0")
        monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
        assert pytest_servers._ours() == ["DATABASE_URL", "REDIS_URL"]

    def test_a_part_leaves_alone_what_was_given_to_the_whole(self, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/jirani")
        assert pytest_servers._ours() == ["REDIS_URL"]
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1/0")
        monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
        assert pytest_servers._ours() == ["REDIS_URL"]
