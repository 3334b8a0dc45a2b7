"""The contract, run for every gateway."""

from typing import Any

import pytest

from tests.ussd.gateways.kit import Contract, ContractAtTheSameTime
from tests.ussd.gateways.wires import WIRES, Wire


@pytest.fixture(params=WIRES, ids=lambda one: one.__name__)
def wire(request: Any) -> Wire:
    return request.param()


class TestEveryGateway(Contract):
    pass


class TestEveryGatewayAtTheSameTime(ContractAtTheSameTime):
    pass
