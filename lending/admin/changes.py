"""Changes of a loan: a dialog for each, which shows what would happen before anybody proposes or does it."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lending.admin import cells, terms
from lending.admin.dialogs import PreviewedForm, act
from lending.models import Loan, LoanEvent, Receipt
from lending.rules import calendar, money
from lending.rules.facts import FactRefused
from lending.selectors import contracts, refinancing
from lending.services import changes, deposits, life, products, proposals, receipts, refunds, savings_terms

# --- refusals -------------------------------------------------------------------------------------------------
FIELDS = {
    "amount_cents": "The amount",
    "died_on": "The day of death",
    "due_on": "The date",
    "installments": "The number of installments",
    "of": "What is undone",
    "on": "The day",
    "part": "The part",
}
SENTENCES: dict[type[Exception], str] = {
    proposals.SamePerson: "Nothing was changed: {refusal}, and it takes somebody else.",
    proposals.NotTheMaker: "Nothing was changed: {refusal}, who alone can take it back.",
    proposals.NotPending: "Nothing was changed: {refusal} already.",
    proposals.AlreadyPending: "Nothing was proposed: {refusal}. It has to be decided first.",
    proposals.Overtaken: "Nothing was changed: {refusal}. Refuse it, or whoever proposed it takes it back, and"
    " propose anew what is still right.",
    changes.NotALoanToChange: "Nothing was changed: {refusal}, so this means nothing for it.",
    changes.TwoPeopleNeeded: "Nothing was changed: this has to be proposed.",
    receipts.NotCounted: "Nothing was changed: receipt {refusal} is out of the books already.",
    deposits.HandedOn: "Nothing was changed: {refusal}. It can only be taken out of the savings again.",
    refunds.NothingKept: "Nothing was changed: nothing is kept for this customer.",
    refunds.TooLittle: "Nothing was changed: less is kept than a wallet can get. It can go into savings.",
    refunds.RefundUnderWay: "Nothing was changed: a refund to this customer is on its way, and how it ends has to"
    " be known first.",
    refunds.LoanUnderWay: "Nothing was changed: a loan is on its way to this customer, and the money may be for"
    " it.",
    refinancing.RefinancingUnderWay: "Nothing was changed: {refusal}. How that ends has to be known first.",
    life.OpenLoanInTheWay: "Nothing was changed: the loan would be open again, and this person has another open"
    " loan, {refusal}. That one comes first.",
    life.TooManyFacts: "Nothing was changed: {refusal}. Ask the administrator.",
    ValueError: "Nothing was changed: {refusal}.",
}


REFUSALS: tuple[type[Exception], ...] = (*SENTENCES, *terms.REFUSALS)


class Refused(Exception):
    """A service said no; the text is a sentence."""


def sentence(refusal: Exception) -> str:
    """Return in words why a service said no."""
    cause = refusal.__cause__
    if isinstance(refusal, proposals.Overtaken) and isinstance(cause, terms.REFUSALS):
        return f"Nothing was changed. {terms.refusal_words(cause)}"
    if isinstance(refusal, terms.REFUSALS):
        return terms.refusal_words(refusal)
    if isinstance(refusal, FactRefused):
        return f"{FIELDS.get(refusal.field, 'This change')} {refusal.needed}."
    words = next(text for kind, text in SENTENCES.items() if isinstance(refusal, kind))
    return words.format(refusal=refusal)


def in_words(service: Callable[[], Any]) -> Any:
    """Call a service; whatever it refuses comes as a Refused."""
    try:
        return service()
    except REFUSALS as refusal:
        raise Refused(sentence(refusal)) from refusal


# --- what a preview shows -------------------------------------------------------------------------------------
PARTS = ("principal", "interest", "fee", "tax", "penalty")
Row = tuple[Any, ...]


def preview_rows(shown: Mapping[str, Any], currency: str) -> list[Row]:
    """Return a preview as rows: what, now, afterwards. Only what changes, and what is owed when."""
    if "payable_cents" in shown:
        return refund_rows(shown, currency)
    if "full_name" in shown:
        return [("Name", *shown["full_name"])]
    if "rows" in shown:  # in words already, by an act that is not declared here
        return [tuple(row) for row in shown["rows"]]
    before, after = shown.get("before"), shown.get("after")
    if not before or not after:
        kept = cells.shown(shown.get("kept_cents"), currency)
        return [("Kept for the customer", kept, cells.shown(0, currency))] if "kept_cents" in shown else []
    words = _in_words(before, currency), _in_words(after, currency)
    return [
        (what, now, then)
        for (what, now), then in zip(words[0].items(), words[1].values(), strict=True)
        if now != then or what in ("Owed", "Falls due")
    ]


def refund_rows(shown: Mapping[str, Any], currency: str) -> list[Row]:
    """Return what giving back would do as rows."""
    cents = {name: cells.shown(shown[f"{name}_cents"], currency) for name in ("kept", "payable", "rounded", "left")}
    rows: list[Row] = [
        ("Kept for the customer", cents["kept"], cents["left"]),
        ("To the wallet", "", cents["payable"]),
    ]
    return [*rows, ("Too small to be paid", "", cents["rounded"])] if shown["rounded_cents"] else rows


def _in_words(seen: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Return one side of a preview in words."""
    return {
        "State": dict(Loan.State.choices).get(seen["state"], seen["state"]),
        "Owed": cells.shown(seen["outstanding_cents"], currency),
        **{f"of which {part}": cells.shown(seen["owed"][part], currency) for part in PARTS},
        "Kept for the customer": cells.shown(seen["kept_cents"], currency),
        "Days past due": seen["days_past_due"],
        "Restructured": "yes" if seen["restructured"] else "no",
        "Falls due": _dates(seen["schedule"], currency),
    }


def _dates(schedule: list[list[Any]], currency: str) -> str:
    lines = ((date_format(date.fromisoformat(on)), cells.shown(cents, currency)) for on, cents in schedule)
    return format_html_join("", "<div>{}: {}</div>", lines) or cells.NOTHING


# --- forms ----------------------------------------------------------------------------------------------------
class AmountField(forms.CharField):
    """An amount as people write it; cleaned to cents."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=20, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}), **options
        )

    def clean(self, value: Any) -> int | None:
        typed = super().clean(value)
        if not typed:
            return None
        try:
            return money.parse(typed)
        except money.InvalidAmount:
            raise forms.ValidationError("Write an amount above 0, such as 1,500.") from None


def a_date(label: str, **options: Any) -> forms.DateField:
    return forms.DateField(label=label, widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}), **options)


class ChangeForm(PreviewedForm):
    """The form of one kind of change; its own fields are the details of the fact."""

    kind = ""
    field_order = ("amount_cents", "part", "of", "died_on", "due_on", "installments", "reason")

    def loan(self) -> Loan:
        """Return what is changed."""
        return loan_of(self.object_id)

    def back(self) -> str:
        """Return the page to which it leads."""
        return reverse("admin:lending_loan_change", args=[self.object_id])

    def details(self) -> dict[str, Any]:
        """Return what was typed as the fact's details."""
        typed = {name: self.cleaned_data[name] for name in self.fields if name not in ("reason", "seen")}
        typed.pop("_form_submitted", None)
        dates = {name: value.isoformat() for name, value in typed.items() if isinstance(value, date)}
        return {name: value for name, value in (typed | dates).items() if value not in (None, "")}

    def preview(self) -> dict[str, Any]:
        on = calendar.business_date(timezone.now(), str(timezone.get_current_timezone()))
        try:
            shown = in_words(lambda: changes.preview(self.loan(), self.kind, self.details(), on))
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return {"details": self.details(), **shown}

    def rows(self, shown: Any) -> list[Row]:
        return preview_rows(shown, self.loan().currency)


class WaiveForm(ChangeForm):
    kind = "waive"
    amount_cents = AmountField(label="Amount", required=False, help_text="Empty: all of it.")
    part = forms.ChoiceField(
        label="Of which part",
        required=False,
        choices=[("", "Everything, penalties first"), *((part, part.capitalize()) for part in PARTS)],
        widget=UnfoldAdminSelectWidget,
    )


class ChargeForm(ChangeForm):
    kind = "charge"
    amount_cents = AmountField(label="Amount", help_text="Without tax; never above what the law allows.")
    part = forms.ChoiceField(
        label="What it is", choices=[("fee", "Fee"), ("penalty", "Penalty")], widget=UnfoldAdminSelectWidget
    )
    due_on = a_date("Falls due on", required=False, help_text="Empty: today.")


class SettleForm(ChangeForm):
    kind = "settle"
    amount_cents = AmountField(
        label="Agreed amount", help_text="When so much has come in time, the rest is waived. It is shown as paid."
    )
    due_on = a_date("To be paid by")


class RescheduleForm(ChangeForm):
    kind = "reschedule"
    due_on = a_date("Next installment on", required=False, help_text="Empty: where it is.")
    installments = forms.IntegerField(
        label="More installments", min_value=0, max_value=60, initial=0, widget=UnfoldAdminIntegerFieldWidget
    )


class DeathForm(ChangeForm):
    kind = "death"
    died_on = a_date(
        "Day of death", required=False, help_text="Empty: today. What was charged since is taken back."
    )


class ReverseForm(ChangeForm):
    kind = "reverse"
    of = forms.ChoiceField(
        label="What was a mistake",
        help_text="Money goes to suspense, from where it is given to whose it is.",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        found = changes.undoable(self.loan())
        self.fields["of"].choices = [(event.key, _named(event)) for event in found]  # type: ignore[attr-defined]


def _named(event: LoanEvent) -> str:
    receipt = getattr(getattr(event, "repayment", None), "receipt", None)
    cents = event.details.get("amount_cents")
    what = [event.get_kind_display(), cells.shown(cents, event.loan.currency) if cents else ""]
    what += [str(receipt) if receipt else "", cells.moment(event.happened_at)]
    return ", ".join(one for one in what if one)


def _form(name: str) -> type[ChangeForm]:
    """Return the form of a change that needs nothing but a reason."""
    return type(f"{name.title()}Form", (ChangeForm,), {"kind": name})


def loan_of(object_id: Any) -> Loan:
    return contracts.with_contract().get(pk=object_id)


# --- actions --------------------------------------------------------------------------------------------------
def proposing(form_class: type[ChangeForm], title: str, icon: str, description: str) -> Any:
    """Return the action that proposes a change."""

    def propose(self: Any, request: HttpRequest, form: ChangeForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: in_words(
                lambda: changes.propose_change(
                    loan=form.loan(),
                    kind=form.kind,
                    details=form.details(),
                    maker=request.user,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                )
            ),
            "Proposed: it waits for a second person.",
            form.back(),
            {Refused: "{refusal}"},
        )

    propose.__name__ = f"propose_{form_class.kind}"
    dialog = {"title": title, "description": description, "form_class": form_class, "form_submit_text": "Continue"}
    return action(description=title, permissions=["propose"], icon=icon, dialog=dialog)(propose)  # type: ignore[arg-type]


def granting(form_class: type[ChangeForm], title: str, icon: str, description: str, done: str) -> Any:
    """Return the action that makes a change which the product or the law grants."""

    def grant(self: Any, request: HttpRequest, form: ChangeForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: in_words(
                lambda: changes.change_loan(
                    loan_id=form.loan().id,
                    kind=form.kind,
                    # What was looked at names the wish: the same dialog sent twice counts once.
                    origin=f"officer:{form.cleaned_data['seen'][:16]}",
                    details=form.details(),
                    actor=request.user,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                )
            ),
            done,
            form.back(),
            {Refused: "{refusal}"},
        )

    grant.__name__ = f"grant_{form_class.kind}"
    dialog = {"title": title, "description": description, "form_class": form_class, "form_submit_text": "Continue"}
    return action(description=title, permissions=["grant"], icon=icon, dialog=dialog)(grant)  # type: ignore[arg-type]


class ChangesOfLoan:
    """The actions on the page of a loan. `actions_detail` lists them in two menus."""

    MENUS = (
        {
            "title": "Propose a change",
            "icon": "edit_note",
            "variant": ActionVariant.PRIMARY,
            "items": [f"propose_{kind}" for kind in changes.TWO_PEOPLE],
        },
        {
            "title": "At the customer's wish",
            "icon": "event_repeat",
            "items": ["grant_promise", *(f"grant_{kind}" for kind in changes.GRANTED), "grant_dispute"],
        },
    )

    propose_waive = proposing(WaiveForm, "Waive", "money_off", "Give up a part of what is owed.")
    propose_settle = proposing(
        SettleForm, "Settle for less", "handshake", "Agree on an amount that closes the loan."
    )
    propose_reverse = proposing(
        ReverseForm, "Undo a mistake", "undo", "As if it had never been: what followed from it is worked out anew."
    )
    propose_write_off = proposing(
        _form("write_off"), "Write off", "delete_forever", "It leaves the books; later money is a recovery."
    )
    propose_charge_off = proposing(
        _form("charge_off"), "Charge off", "trending_down", "Its value is expensed; the claim stays."
    )
    propose_charge = proposing(ChargeForm, "Charge", "add_card", "A fee or penalty on top.")
    propose_reschedule = proposing(
        RescheduleForm, "Reschedule", "date_range", "The rest is worked out anew; the loan keeps its mark."
    )
    grant_skip = granting(
        _form("skip"), "Skip an installment", "skip_next", "All later ones fall due one period later.",
        "Done: the next installment is left out.",
    )  # fmt: skip
    grant_extend = granting(
        _form("extend"), "Extend", "more_time", "All that is unpaid falls due later, against the product's fee.",
        "Done: the loan is extended.",
    )  # fmt: skip
    grant_cancel = granting(
        _form("cancel"), "Cancel the loan", "cancel",
        "Within the cooling-off days: what was received is given back, and nothing else.",
        "Done: only what was received is owed now.",
    )  # fmt: skip
    grant_death = granting(
        DeathForm, "Record a death", "local_florist", "Nothing more is earned, charged or lent.",
        "Done: nothing more is earned or charged.",
    )  # fmt: skip

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_loan")

    def also_offered(self, loan: Loan) -> set[str]:
        """Return what a loan of its kind offers beside changes."""
        return set()

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what means something for the loan as it stands; a late click still gets a sentence."""
        loan = loan_of(object_id)
        offered = {*changes.offered(loan), *self.also_offered(loan)}
        listed = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in listed if one.path.split("_", 1)[1] in offered]


class ReceiptReversalForm(PreviewedForm):
    """What becomes of the books when the operator has given money back to its payer."""

    def preview(self) -> dict[str, Any]:
        on = calendar.business_date(timezone.now(), str(timezone.get_current_timezone()))
        try:
            shown = in_words(lambda: changes.preview_receipt_reversal(int(self.object_id or 0), on))
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return dict(shown)

    def rows(self, shown: Any) -> list[Row]:
        return preview_rows(shown, Receipt.objects.get(pk=self.object_id).currency)


def propose_reversal(request: HttpRequest, form: ReceiptReversalForm, object_id: str) -> HttpResponse:
    """Propose to take a receipt out of the books again."""
    return act(
        request,
        lambda: in_words(
            lambda: changes.propose_receipt_reversal(
                receipt=Receipt.objects.get(pk=object_id),
                maker=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        ),
        "Proposed: it waits for a second person.",
        reverse("admin:lending_receipt_change", args=[object_id]),
        {Refused: "{refusal}"},
    )


def pending(subject: str) -> str:
    """Return links to what waits for a second person about a record."""
    waiting = proposals.pending(subject)
    return (
        format_html_join("", "<div>{}</div>", ((cells.link(one, named(one)),) for one in waiting)) or cells.NOTHING
    )


TITLES = {
    "loan_waive": "Waive",
    "loan_settle": "Settle for less",
    "loan_reverse": "Undo a mistake",
    "loan_write_off": "Write off",
    "loan_charge_off": "Charge off",
    "loan_charge": "Charge",
    "loan_reschedule": "Reschedule",
    changes.RECEIPT_REVERSAL: "Operator took money back",
    products.ACT: "Next version of a product",
    savings_terms.ACT: "Next version of a savings product",
    refunds.ACT: "Give back what was paid too much",
    "model_promote": "Let a model serve",
}


def title(act_name: str) -> str:
    return TITLES.get(act_name, act_name.replace("_", " ").capitalize())


def named(proposal: Any) -> str:
    return format_html("{}, proposed by {}", title(proposal.act), proposal.maker)
