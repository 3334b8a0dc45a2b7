"""The registry of trained models, the runs that made them, what a shadow said, and how the model does."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from lending.models import Decision


class ModelVersion(models.Model):
    """One trained network: where it lies, what it learnt from and how good it was.

    A row never changes: a decision names its version and must find it again in years. What the version does now
    is said by the aliases that point at it, what it did by its promotions.
    """

    name = models.CharField(max_length=60, unique=True)
    artifact = models.CharField(max_length=120, help_text="Directory below MODELS_DIR.")
    sha256 = models.CharField(max_length=64, help_text="Of the weights, as the signed manifest names it.")
    feature_version = models.CharField(max_length=40)
    data_sha256 = models.CharField(max_length=64)
    code_commit = models.CharField(max_length=40, blank=True, help_text="Of the code that trained it.")
    loans = models.PositiveIntegerField()
    seed = models.PositiveIntegerField()
    seen_until = models.DateTimeField(help_text="Latest decision that training, stopping or calibration saw.")
    metrics = models.JSONField(default=dict)
    comparison = models.JSONField(default=dict, help_text="Against the champion of the day, on later loans.")
    report = models.JSONField(default=dict, help_text="Every check of the gate.")
    trained_at = models.DateTimeField()

    class Meta:
        ordering = ["-trained_at", "-id"]

    def __str__(self) -> str:
        return self.name


class Alias(models.Model):
    """What one version is for now. The name is the key, so PostgreSQL allows one champion and one shadow."""

    class Name(models.TextChoices):
        CHAMPION = "champion", "Serving"
        CHALLENGER = "challenger", "Challenger"
        SHADOW = "shadow", "Shadow"

    name = models.CharField(max_length=10, primary_key=True, choices=Name.choices)
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="aliases")
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="alias_is_known", condition=Q(name__in=["champion", "challenger", "shadow"])
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_name_display()}: {self.version_id}"


class Promotion(models.Model):
    """A version began to serve. PostgreSQL keeps the rows as they were written; the latest one is in force.

    `follows` is what a rollback goes back to: the promotion that was in force before. A rollback is a promotion,
    too, of the version that served before, and follows whatever that version followed.
    """

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="promotions")
    follows = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="followed_by")
    undoes = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    promoted_at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version_id} since {self.promoted_at:%Y-%m-%d %H:%M}"


class PipelineRun(models.Model):
    """One retraining, from the loans to who serves. What it was asked for stays with it, so that it can go on.

    number: 1 is the night's, claimed by whoever inserts the row; the others somebody asked for by hand.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        WAITING = "waiting", "In the shadow"
        PROMOTED = "promoted", "Promoted"
        FOR_PEOPLE = "for_people", "Left to two people"
        SHELVED = "shelved", "Shelved"
        REFUSED = "refused", "Data refused"
        FAILED = "failed", "Failed"

    OPEN = (State.RUNNING, State.WAITING)

    business_date = models.DateField()
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    first = models.BooleanField(default=False, help_text="Its model may serve without a rival.")
    any_size = models.BooleanField(default=False, help_text="However many loans there are now.")
    seed = models.PositiveIntegerField(default=1)
    plan = models.JSONField(default=dict)
    started_at = models.DateTimeField(help_text="What is known at this moment is learnt from.")
    finished_at = models.DateTimeField(null=True, blank=True)
    loans = models.PositiveIntegerField(default=0)
    version = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="runs")
    why = models.TextField(blank=True, help_text="How it ended, or what it waits for, in words.")

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["business_date", "number"], name="pipeline_run_once_a_day"),
            models.CheckConstraint(
                name="pipeline_run_ends_in_words",
                condition=Q(state__in=["running", "waiting"], finished_at__isnull=True)
                | Q(finished_at__isnull=False) & ~Q(why=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.business_date} {self.number} {self.state}"


class PipelineStep(models.Model):
    """One step of a run. Once done it is never done again: its result lies in its file, or in the report."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"

    run = models.ForeignKey(PipelineRun, models.CASCADE, related_name="steps")
    name = models.CharField(max_length=10)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    tries = models.PositiveIntegerField(default=0, help_text="Times it was begun and not ended.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the file that it made.")
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="pipeline_step_once_a_run")]

    def __str__(self) -> str:
        return f"{self.name} {self.state}"


class ShadowScore(models.Model):
    """What the shadow would have said of one live decision. Nothing is decided by it."""

    decision = models.OneToOneField(Decision, models.PROTECT, related_name="shadow_score")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="shadow_scores")
    score = models.FloatField(help_text="Chance of default, 0 to 1.")
    approves = models.BooleanField(help_text="The policy would have approved with this score.")
    champion_approves = models.BooleanField(help_text="The policy approves with the score that decided.")
    scored_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="shadow_score_is_a_chance", condition=Q(score__range=(0, 1))),
        ]

    def __str__(self) -> str:
        return f"{self.decision_id} {self.score:.3f}"


class HealthCheck(models.Model):
    """How the model stood at the end of one business date. Whoever inserts the row has claimed the date."""

    business_date = models.DateField(unique=True)
    checked_at = models.DateTimeField()

    class Meta:
        ordering = ["-business_date"]

    def __str__(self) -> str:
        return f"Health on {self.business_date}"


class HealthFigure(models.Model):
    """One measure of one date, of everybody or of one group, what it is held to, and what that means in words.

    fact, group: what sets the borrowers apart and which of them it is about, such as language and sw.
    """

    class State(models.TextChoices):
        ALARM = "alarm", "Alarm"
        WARN = "warn", "Look"
        OK = "ok", "Well"
        TOO_FEW = "too_few", "Too few to tell"

    night = models.ForeignKey(HealthCheck, models.CASCADE, related_name="figures")
    measure = models.CharField(max_length=20)
    version = models.CharField(max_length=60, blank=True, help_text="Of the model; empty: not about one.")
    fact = models.CharField(max_length=20, blank=True)
    group = models.CharField(max_length=60, blank=True)
    n = models.PositiveIntegerField(help_text="So many loans, decisions or runs it rests on.")
    value = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True, help_text="Of the interval that holds 95 of 100 true values.")
    high = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(null=True, blank=True, help_text="What it is held to; empty: only told.")
    state = models.CharField(max_length=7, choices=State.choices)
    words = models.CharField(max_length=300)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["night", "measure", "version", "fact", "group"], name="health_figure_once_a_date"
            ),
            models.CheckConstraint(
                name="health_figure_state_is_known", condition=Q(state__in=["alarm", "warn", "ok", "too_few"])
            ),
        ]

    def __str__(self) -> str:
        return self.words
