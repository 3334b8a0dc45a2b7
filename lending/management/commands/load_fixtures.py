"""Load chart of accounts, country packs, products and staff groups from fixtures/.

Repeats safely; never rewrites a version.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.module_loading import import_string

from lending.models import Account, CountryPack, ProductVersion, Rail, SavingsProductVersion
from lending.rules import caps
from lending.rules.country import country_from
from lending.rules.pricing import LoanRefused
from lending.rules.reading import Refused
from lending.rules.savings import SavingsTermsRefused
from lending.rules.terms import TermsRefused
from lending.selectors import products
from lending.services import savings_terms
from lending.services.products import enforce_version


class Command(BaseCommand):
    help = "Load the chart of accounts, the country packs and the products."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        fixtures = Path(settings.BASE_DIR) / "fixtures"
        for account in json.loads((fixtures / "accounts.json").read_text()):
            Account.objects.update_or_create(code=account.pop("code"), defaults=account)
        for data, source in versions_in(fixtures / "countries"):
            load_pack(data, source)
        for data, source in versions_in(fixtures / "products"):
            load_product(data, source)
        for path in sorted((fixtures / "savings").glob("*.json")):
            load_savings_product(json.loads(path.read_text()), path.name)
        for provider in settings.PAYMENT_PROVIDERS:
            Rail.objects.get_or_create(provider=provider)
        for name, rights in json.loads((fixtures / "groups.json").read_text()).items():
            load_group(name, **rights)
        for load in settings.ALSO_LOADED:
            import_string(load)()
        self.stdout.write("fixtures: chart of accounts, country packs and products are in place")


def versions_in(directory: Path) -> list[tuple[dict[str, Any], str]]:
    """Return what the files of a directory hold, with their names, older versions first."""
    read = [(json.loads(path.read_text()), path.name) for path in sorted(directory.glob("*.json"))]
    return sorted(read, key=lambda one: one[0]["version"])


def load_group(name: str, sees: list[str], may: list[str]) -> None:
    """Give a group what fixtures/groups.json grants; what an administrator added stays."""
    group, _ = Group.objects.get_or_create(name=name)
    visible = Permission.objects.filter(content_type__app_label__in=sees, codename__startswith="view_")
    group.permissions.add(*visible)
    for right in may:
        app, codename = right.split(".")
        group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))


def load_pack(data: dict[str, Any], source: str) -> None:
    """Load one version of a country's law.

    Raises:
        CommandError: it cannot be read, is for another country, or would be in force before the version it follows.
    """
    try:
        law = country_from(data["rules"])
    except Refused as refused:
        raise CommandError(f"{source}: rules.{refused}") from None
    if law.country != data["country"]:
        raise CommandError(f"{source}: rules.country must be {data['country']}, got {law.country}")
    key = {"country": data.pop("country"), "version": data.pop("version")}
    earlier = CountryPack.objects.filter(country=law.country, version__lt=key["version"])
    last = earlier.order_by("-version").first()
    if last and date.fromisoformat(data["effective_on"]) <= last.effective_on:
        came = data["effective_on"]
        raise CommandError(f"{source}: effective_on must be after {last.effective_on}, got {came}")
    data["effective_on"] = date.fromisoformat(data["effective_on"])
    _load_version(CountryPack, key, data, source)


def load_product(data: dict[str, Any], source: str) -> None:
    """Load one version of a product, if the law in force on its first day allows its terms.

    Raises:
        CommandError: it cannot be read, or contradicts the law: with the field and the rule.
    """
    key = {"code": data.pop("code"), "version": data.pop("version")}
    for name in ("approved_on", "effective_on"):
        data[name] = date.fromisoformat(data[name])
    try:
        enforce_version(ProductVersion(**key, **data))
    except Refused as refused:
        raise CommandError(f"{source}: loss_brake.{refused}") from None
    except (TermsRefused, LoanRefused, caps.AgainstLaw, products.NothingInForce) as refused:
        raise CommandError(f"{source}: {refused}") from None
    _load_version(ProductVersion, key, data, source)


def load_savings_product(data: dict[str, Any], source: str) -> None:
    """Load one version of a savings product, if the law in force on its first day allows it.

    Raises:
        CommandError: it cannot be read, or contradicts the law: with the field and the rule.
    """
    key = {"code": data.pop("code"), "version": data.pop("version")}
    for name in ("approved_on", "effective_on"):
        data[name] = date.fromisoformat(data[name])
    try:
        savings_terms.enforce_version(SavingsProductVersion(**key, **data))
    except (SavingsTermsRefused, caps.AgainstLaw, products.NothingInForce) as refused:
        raise CommandError(f"{source}: {refused}") from None
    _load_version(SavingsProductVersion, key, data, source)


def _load_version(model: Any, key: dict[str, Any], data: dict[str, Any], source: str) -> Any:
    """Insert a version, or insist that the one on record says the same: loans were made under it."""
    known, created = model.objects.get_or_create(**key, defaults=data)
    if created:
        return known
    changed = [name for name, value in data.items() if str(_plain(getattr(known, name))) != str(_plain(value))]
    if changed:
        raise CommandError(
            f"{source}: version {key['version']} is in force; a change of {changed} is a new version"
        )
    return known


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
