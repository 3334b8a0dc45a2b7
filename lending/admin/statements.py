"""The statements of the books on one page: trial balance, balance sheet, income statement. Nothing is written."""

from datetime import date
from typing import Any

from django import forms
from django.utils import timezone
from django.views.generic import TemplateView
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from lending.admin import cells
from lending.selectors import books, products


class AsOfForm(forms.Form):
    """Of which days and in which currency. What is left out is today, since New Year, in the home currency."""

    since = forms.DateField(label="From", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    on = forms.DateField(label="Until", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))

    def __init__(self, asked: Any) -> None:
        today, home = timezone.localdate(), cells.home_currency()
        usual = {"since": date(today.year, 1, 1).isoformat(), "on": today.isoformat(), "currency": home}
        super().__init__(usual | {name: asked[name] for name in usual if asked.get(name)})
        codes = sorted({home, *products.currencies()})
        self.fields["currency"] = forms.ChoiceField(
            label="Currency", choices=[(code, code) for code in codes], widget=UnfoldAdminSelectWidget()
        )


class StatementsView(UnfoldModelAdminViewMixin, TemplateView):  # type: ignore[misc]
    """GET only; whoever may look at the accounts may look at what they add up to."""

    title = "Statements"
    permission_required = ("lending.view_account",)
    template_name = "lending/statements.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = AsOfForm(self.request.GET)
        # What the address carries is the room itself, which the mixin adds on its own.
        return super().get_context_data() | {
            "form": form,
            "statements": _statements(**form.cleaned_data) if form.is_valid() else [],
        }


def _statements(since: date, on: date, currency: str) -> list[dict[str, Any]]:
    made = (
        books.trial_balance(on, currency),
        books.balance_sheet(on, currency),
        books.income_statement(since, on, currency),
    )
    return [{"title": one.title, "definition": one.definition, "table": _table(one)} for one in made]


def _table(statement: books.Statement) -> str:
    rows = [{name: value for name, value in row.items() if name != "account"} for row in statement.rows()]
    return cells.table(
        [name.removesuffix("_cents").capitalize() for name in (rows[0] if rows else ())],
        [[_cell(name, value, statement.currency) for name, value in row.items()] for row in rows],
    )


def _cell(name: str, value: Any, currency: str) -> str:
    return cells.shown(value or None, currency) if name.endswith("_cents") else str(value)
