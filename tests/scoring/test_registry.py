from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from lending.models import AuditEvent
from ml.artifact import ArtifactRefused
from scoring import registry
from scoring.models import ModelVersion
from tests.factories import NOON
from tests.scoring.conftest import another


class TestPromote:
    def test_retires_the_champion_and_leaves_a_trail(self, reigning, trained):
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON, reason="better")

        assert registry.champion() == challenger
        reigning.refresh_from_db()
        assert reigning.state == "retired"
        act = AuditEvent.objects.get(subject=f"model:{challenger.name}")
        assert (act.action, act.reason, act.detail["retired"]) == ("model_promoted", "better", [reigning.name])

    def test_of_the_champion_changes_nothing(self, reigning):
        registry.promote(reigning.name, at=NOON)
        assert AuditEvent.objects.filter(action="model_promoted").count() == 1

    def test_of_a_damaged_model_leaves_the_champion(self, reigning, trained, models_dir):
        challenger = another(trained)
        weights = models_dir / challenger.name / "weights.npz"
        weights.write_bytes(weights.read_bytes()[:-1])
        with pytest.raises(ArtifactRefused):
            registry.promote(challenger.name, at=NOON)
        assert registry.champion() == reigning

    def test_of_a_signed_model_in_another_one_s_place_is_refused(self, reigning, trained):
        challenger = another(trained)
        ModelVersion.objects.filter(id=challenger.id).update(sha256="0" * 64)
        with pytest.raises(ArtifactRefused, match="another model"):
            registry.promote(challenger.name, at=NOON)

    def test_of_an_unknown_name_is_refused(self, reigning):
        with pytest.raises(registry.UnknownModel):
            registry.promote("2020-01-01T00-00-00-0000", at=NOON)


class TestOneChampion:
    def test_is_all_that_postgresql_allows(self, reigning, trained):
        challenger = another(trained)
        with pytest.raises(IntegrityError), transaction.atomic():
            ModelVersion.objects.filter(id=challenger.id).update(state="champion")

    def test_is_nobody_at_first(self, shelved):
        assert registry.champion() is None and registry.champion_name() is None


class TestRollback:
    def test_brings_the_previous_champion_back_and_again_the_other(self, reigning, trained):
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        assert registry.rollback(at=NOON + timedelta(minutes=1)) == reigning
        assert registry.rollback(at=NOON + timedelta(minutes=2)) == challenger

    def test_needs_somebody_who_served(self, reigning):
        with pytest.raises(registry.NothingToRollBackTo):
            registry.rollback(at=NOON)


class TestCommand:
    def test_lists_promotes_and_rolls_back(self, reigning, trained, capsys):
        challenger = another(trained)
        call_command("models")
        call_command("models", "promote", challenger.name)
        call_command("models", "rollback")
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines[:2]] == ["Shelved", "Serving"]
        assert lines[2].startswith(f"{challenger.name} serves")
        assert lines[3].startswith(f"{reigning.name} serves")

    @pytest.mark.parametrize("arguments", [["promote"], ["promote", "nobody"], ["rollback"]])
    def test_says_what_it_needs(self, reigning, arguments):
        with pytest.raises(CommandError):
            call_command("models", *arguments)
        assert registry.champion() == reigning


def test_the_signing_key_is_not_the_key_it_is_made_from(settings):
    assert settings.CALLBACK_KEY.encode() not in registry.signing_key()
    before = registry.signing_key()
    settings.CALLBACK_KEY += "x"
    assert registry.signing_key() != before
