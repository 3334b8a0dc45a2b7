"""The commands that fill a demo: once, and never over what is there."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from lending.demo import economy
from lending.management.commands.demo_portfolio import setting_of
from lending.models import Borrower, Loan, Posting
from sandbox.process import SandboxProcess, free_port
from tests import factories
from tests.lending.demo.conftest import AS_OF, DAYS

pytestmark = pytest.mark.django_db


def run(command: str, **options: Any) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


def load(**options: Any) -> str:
    return run("demo_portfolio", borrowers=12, seed=3, as_of=AS_OF, days=DAYS, **options)


class TestDemoPortfolio:
    def test_loads_once_and_says_so_the_second_time(self, law):
        assert "in the books" in load()
        before = (Borrower.objects.count(), Posting.objects.count())
        assert "already" in load()
        assert (Borrower.objects.count(), Posting.objects.count()) == before == (12, before[1])

    def test_leaves_rows_alone_that_were_there_before(self, aminas_loan, books_balance):
        before = Loan.objects.filter(id=aminas_loan.id).values().get()
        load()
        assert Loan.objects.filter(id=aminas_loan.id).values().get() == before
        books_balance()

    def test_ends_with_the_float_as_json(self, law):
        said = json.loads(load().splitlines()[-1])
        assert said == json.loads(run("float_balances", json=True))
        assert said["mpesa_payout"] == economy.FLOAT_KEPT_CENTS
        assert said["mpesa_paybill"] > 0

    def test_refuses_a_story_whose_number_somebody_has(self, law):
        factories.register(msisdn="254711000002")
        with pytest.raises(CommandError, match="registered already"):
            load()

    def test_refuses_a_story_before_the_first_product(self, law):
        with pytest.raises(CommandError, match="load_fixtures"):
            setting_of(12, 3, AS_OF.replace(year=2024), DAYS)


class TestSeedSandbox:
    @pytest.fixture
    def sandbox(self, settings: Any) -> Iterator[SandboxProcess]:
        with SandboxProcess(f"http://127.0.0.1:{free_port()}/at") as process:
            settings.SANDBOX_URL = process.url
            yield process

    def test_puts_money_and_phones_where_the_books_say(self, law, sandbox):
        load()
        assert "16 phones" in run("seed_sandbox")

        money = sandbox.money()
        held = json.loads(run("float_balances", json=True))
        assert money["shortcodes"]["600100"]["utility_cents"] == held["mpesa_payout"]
        assert money["shortcodes"]["600200"]["utility_cents"] == held["mpesa_paybill"]
        amina = httpx.get(f"{sandbox.url}/phones/254711000001").json()
        assert (amina["name"], amina["balance_cents"]) == ("AMINA WANJIRU", 200_000)
        for borrower in Borrower.objects.all():
            assert httpx.get(f"{sandbox.url}/phones/{borrower.msisdn}").json()["balance_cents"] >= 5_000

    def test_changes_no_money_the_second_time(self, law, sandbox):
        load()
        run("seed_sandbox")
        sandbox.pay("254711000001", paybill="600200", account="0711000001", amount_cents=10_000, pin="1234")
        sandbox.flush()
        before = sandbox.money()
        assert "already" in run("seed_sandbox")
        assert sandbox.money() == before

    def test_says_that_nobody_answers(self, law, settings):
        settings.SANDBOX_URL = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(CommandError, match="does not answer"):
            run("seed_sandbox")
