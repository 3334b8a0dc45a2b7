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

from lending.models import Account, CountryPack, ProductVersion, Rail
from lending.rules.country import country_from
from lending.rules.provisions import provision_table


class Command(BaseCommand):
    help = "Load the chart of accounts, the country packs and the products."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        fixtures = Path(settings.BASE_DIR) / "fixtures"
        for account in json.loads((fixtures / "accounts.json").read_text()):
            Account.objects.update_or_create(code=account.pop("code"), defaults=account)
        for path in sorted((fixtures / "countries").glob("*.json")):
            load_pack(json.loads(path.read_text()), path.name)
        for path in sorted((fixtures / "products").glob("*.json")):
            load_product(json.loads(path.read_text()), path.name)
        for provider in settings.PAYMENT_PROVIDERS:
            Rail.objects.get_or_create(provider=provider)
        for name, rights in json.loads((fixtures / "groups.json").read_text()).items():
            load_group(name, **rights)
        import_string(settings.LOAD_SCHEDULE)()
        self.stdout.write("fixtures: chart of accounts, country packs and products are in place")


def load_group(name: str, sees: list[str], may: list[str]) -> None:
    """Give a group what fixtures/groups.json grants; what an administrator added stays."""
    group, _ = Group.objects.get_or_create(name=name)
    visible = Permission.objects.filter(content_type__app_label__in=sees, codename__startswith="view_")
    group.permissions.add(*visible)
    for right in may:
        app, codename = right.split(".")
        group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))


def load_pack(data: dict[str, Any], source: str) -> None:
    country_from(data["rules"])
    provision_table(data["rules"])
    _load_version(CountryPack, {"country": data.pop("country"), "version": data.pop("version")}, data, source)


def load_product(data: dict[str, Any], source: str) -> None:
    _load_version(ProductVersion, {"code": data.pop("code"), "version": data.pop("version")}, data, source)


def _load_version(model: Any, key: dict[str, Any], data: dict[str, Any], source: str) -> None:
    """Insert a version, or insist that the one on record says the same: loans were made under it."""
    data["effective_on"] = date.fromisoformat(data["effective_on"])
    known, created = model.objects.get_or_create(**key, defaults=data)
    if created:
        return
    changed = [name for name, value in data.items() if str(_plain(getattr(known, name))) != str(_plain(value))]
    if changed:
        raise CommandError(
            f"{source}: version {key['version']} is in force; a change of {changed} is a new version"
        )


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
