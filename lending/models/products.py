"""What may be lent and under which law: both are dated versions that a loan keeps for life."""

from django.db import models
from django.db.models import F, Q


class CountryPack(models.Model):
    """The law of a country as data, from fixtures/countries/. `rules` is read by lending.rules.country."""

    country = models.CharField(max_length=2)
    version = models.PositiveIntegerField()
    effective_on = models.DateField()
    rules = models.JSONField()
    approved_by = models.CharField(max_length=60)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["country", "version"], name="country_pack_version")]

    def __str__(self) -> str:
        return f"{self.country} v{self.version}"


class ProductVersion(models.Model):
    """A loan product as it stood from `effective_on`; a change is a new version that a second person approved.

    `terms` is read by lending.rules.terms; a loan keeps its version for life.
    """

    code = models.SlugField(max_length=30)
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    currency = models.CharField(max_length=3)
    country = models.CharField(max_length=2)
    effective_on = models.DateField()
    proposed_by = models.CharField(max_length=60)
    approved_on = models.DateField(help_text="Notice to customers and the regulator's year count from here.")
    approved_by = models.CharField(max_length=60)
    approval_document = models.CharField(
        max_length=80, blank=True, help_text="The regulator's approval of the price, where the country asks for it."
    )
    terms = models.JSONField(help_text="Price, plan, allocation, penalties: everything that is agreed.")
    ladder_cents = models.JSONField(help_text="Limit at each rung, rising.")
    loss_brake = models.JSONField(help_text="When new approvals pause; read by lending.rules.limits.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="product_version"),
            models.CheckConstraint(
                name="product_approved_by_another", condition=~Q(approved_by=F("proposed_by")) & ~Q(approved_by="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"
