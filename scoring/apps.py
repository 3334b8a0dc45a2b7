"""Scoring: from applicant to decision."""

from django.apps import AppConfig


class ScoringConfig(AppConfig):
    name = "scoring"
    verbose_name = "Scoring"

    def ready(self) -> None:
        """Connect the signals that load the model in a worker's children; declare what takes two people."""
        from scoring import promotion, worker  # noqa: F401
