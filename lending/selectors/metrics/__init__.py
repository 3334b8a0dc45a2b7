"""The metrics layer: each figure of the business is declared here once, with its definition beside it.

Dashboard, reports page and `manage.py report` all read from it. Source: docs/domain/metrics.md.
"""

from lending.selectors.metrics import bureau, cohorts, flows, portfolio, provisions, rolls
from lending.selectors.metrics.report import Column, Report, Unit

REPORTS = {
    report.name: report
    for report in (
        portfolio.PORTFOLIO,
        portfolio.AGEING,
        portfolio.PAR,
        cohorts.VINTAGE_WEEKS,
        cohorts.VINTAGE_MONTHS,
        rolls.ROLL_RATES,
        cohorts.FIRST_PAYMENT_DEFAULT,
        flows.COLLECTIONS,
        provisions.PROVISIONS,
        provisions.EXPECTED_LOSS,
        flows.WRITE_OFFS,
        flows.CASH_FLOW,
        bureau.BUREAU,
        bureau.BUREAU_REJECTS,
    )
}

__all__ = ["REPORTS", "Column", "Report", "Unit"]
