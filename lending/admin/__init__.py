"""The loan officers' rooms. They look at everything, act through services, and edit nothing that is history."""

from django.contrib import admin

from lending.admin import (
    applications,
    books,
    borrowers,
    business,
    cases,
    loans,
    payments,
    products,
    promises,
    proposals,
    refunds,
    rights,
    savings,
    savings_products,
    staff,
    trail,
)

__all__ = [
    "applications",
    "books",
    "borrowers",
    "business",
    "cases",
    "loans",
    "payments",
    "products",
    "promises",
    "proposals",
    "refunds",
    "rights",
    "savings",
    "savings_products",
    "staff",
    "trail",
]

admin.site.index_template = "lending/dashboard.html"
admin.site.index_title = "Today"
