"""The registry of trained models and of the runs that made them."""

from django.db import models
from django.db.models import Q


class ModelVersion(models.Model):
    """One trained network: where it lies, what it learnt from, how good it was, and whether it serves.

    A row never changes but for its state: a decision names its version and must find it again in years.
    """

    class State(models.TextChoices):
        SHELVED = "shelved", "Shelved"
        CHAMPION = "champion", "Serving"
        RETIRED = "retired", "Served before"

    name = models.CharField(max_length=60, unique=True)
    artifact = models.CharField(max_length=120, help_text="Directory below MODELS_DIR.")
    sha256 = models.CharField(max_length=64, help_text="Of the weights, as the signed manifest names it.")
    feature_version = models.CharField(max_length=40)
    data_sha256 = models.CharField(max_length=64)
    loans = models.PositiveIntegerField()
    seed = models.PositiveIntegerField()
    seen_until = models.DateTimeField(help_text="Latest decision that training, stopping or calibration saw.")
    metrics = models.JSONField(default=dict)
    comparison = models.JSONField(default=dict, help_text="Against the champion of the day, on later loans.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.SHELVED)
    trained_at = models.DateTimeField()
    promoted_at = models.DateTimeField(null=True, blank=True, help_text="When it last began to serve.")

    class Meta:
        ordering = ["-trained_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="champion"), name="model_version_one_champion"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PipelineRun(models.Model):
    """One retraining, from start to verdict. A run without an end crashed; its champion stayed."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PROMOTED = "promoted", "Promoted"
        SHELVED = "shelved", "Shelved"
        FAILED = "failed", "Failed"

    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    loans = models.PositiveIntegerField(default=0)
    version = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="runs")
    report = models.JSONField(default=dict, help_text="Seconds of each step, and the verdict in words.")

    class Meta:
        ordering = ["-started_at", "-id"]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.state}"
