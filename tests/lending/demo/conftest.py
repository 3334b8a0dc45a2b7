"""A small story that holds every kind of event."""

from collections.abc import Callable
from datetime import date

import pytest

from lending.demo import economy
from lending.demo.economy import Portfolio, Setting
from lending.management.commands.demo_portfolio import setting_of
from lending.models import CountryPack, ProductVersion
from tests import factories

AS_OF = date(2026, 11, 23)
# Two dozen people, nine months: this seed has a failed payout, a refusal, a loss and a stranger's money in it.
PEOPLE, DAYS, SEED = 24, 270, 13


@pytest.fixture
def setting(law: None) -> Setting:
    return setting_of(PEOPLE, SEED, AS_OF, DAYS)


@pytest.fixture
def portfolio(setting: Setting) -> Portfolio:
    return economy.tell(setting)


@pytest.fixture
def product(law: None) -> ProductVersion:
    return factories.usual_product()


@pytest.fixture
def pack(law: None) -> CountryPack:
    return CountryPack.objects.get(country="KE")


@pytest.fixture
def quiet() -> Callable[[str], None]:
    return lambda text: None
