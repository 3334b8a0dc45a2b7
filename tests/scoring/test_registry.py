import json
import pickle
import shutil
import threading
from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from lending.models import AuditEvent, Proposal
from ml import artifact
from ml.artifact import ArtifactRefused
from scoring import registry
from scoring.models import Alias, ModelVersion, Promotion
from tests.factories import NOON
from tests.ml.conftest import with_weights
from tests.scoring.conftest import NO_RIVAL, another

MINUTE = timedelta(minutes=1)


class TestRegister:
    def test_keeps_what_is_needed_to_make_it_again(self, shelved, trained, settings):
        manifest = registry.open_artifact(shelved.name).manifest
        assert manifest["data_sha256"] == shelved.data_sha256 == trained.data_sha256
        assert manifest["seed"] == shelved.seed == 3
        assert manifest["weights_sha256"] == shelved.sha256
        assert manifest["code_commit"] == shelved.code_commit == registry.code_commit()
        assert manifest["features_version"] == shelved.feature_version
        assert [one["name"] for one in manifest["features"]] == list(trained.names)
        assert manifest["metrics"] == shelved.metrics

    def test_takes_the_commit_that_the_image_was_told(self, settings):
        assert len(registry.code_commit()) == 40
        settings.CODE_COMMIT = "abc123"
        assert registry.code_commit() == "abc123"

    def test_of_the_same_moment_is_one_version(self, shelved, trained):
        assert registry.register(trained, comparison=NO_RIVAL, at=shelved.trained_at) == shelved
        assert ModelVersion.objects.count() == 1

    def test_clears_away_what_a_killed_call_has_left(self, db, models_dir, trained):
        """Its directory half written, and then written but without a row."""
        name = registry.name_for(trained, NOON)
        (models_dir / f".{name}-x1").mkdir(parents=True)
        (models_dir / name).mkdir()
        (models_dir / name / "weights.npz").write_bytes(b"half")
        version = registry.register(trained, comparison=NO_RIVAL, at=NOON)
        assert registry.open_artifact(version.name).sha256 == version.sha256
        assert [path.name for path in models_dir.iterdir()] == [name]

    def test_is_for_good(self, shelved):
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            ModelVersion.objects.filter(id=shelved.id).update(sha256="0" * 64)


class TestPromote:
    def test_replaces_the_champion_and_leaves_a_trail(self, reigning, trained):
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON, reason="better")

        assert registry.champion() == challenger
        assert registry.state(reigning) == "Served before"
        act = AuditEvent.objects.get(subject=f"model:{challenger.name}")
        assert (act.action, act.reason, act.detail["retired"]) == ("model_promoted", "better", [reigning.name])
        kept = Promotion.objects.first()
        assert (kept.version, kept.follows.version, kept.promoted_at) == (challenger, reigning, NOON)
        assert (kept.reason, kept.actor, kept.undoes) == ("better", None, None)

    def test_of_the_champion_changes_nothing(self, reigning):
        registry.promote(reigning.name, at=NOON)
        assert AuditEvent.objects.filter(action="model_promoted").count() == Promotion.objects.count() == 1

    def test_ends_the_time_as_challenger_and_shadow(self, reigning, trained):
        challenger = another(trained)
        registry.stand(challenger, registry.CHALLENGER, at=NOON)
        registry.stand(challenger, registry.SHADOW, at=NOON)
        registry.promote(challenger.name, at=NOON)
        assert [alias.name for alias in Alias.objects.all()] == ["champion"]

    def test_of_an_unknown_name_is_refused(self, reigning):
        with pytest.raises(registry.UnknownModel):
            registry.promote("2020-01-01T00-00-00-0000", at=NOON)

    def test_is_not_rewritten(self, reigning):
        for write in (lambda rows: rows.update(reason="x"), lambda rows: rows.delete()):
            with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
                write(Promotion.objects.all())


class TestAliases:
    def test_are_one_of_each_for_postgresql(self, reigning, trained):
        challenger = another(trained)
        for name in ("champion", "king"):
            with pytest.raises(IntegrityError), transaction.atomic():
                Alias.objects.create(name=name, version=challenger, since=NOON)

    def test_are_nobody_at_first(self, shelved):
        assert registry.champion() is None and registry.champion_name() is None
        assert registry.alias(registry.SHADOW) is None

    def test_stay_since_the_first_time(self, shelved):
        registry.stand(shelved, registry.SHADOW, at=NOON)
        registry.stand(shelved, registry.SHADOW, at=NOON + MINUTE)
        assert registry.alias(registry.SHADOW).since == NOON
        assert AuditEvent.objects.filter(action="model_shadow").count() == 1

    def test_go_to_another_version_as_a_whole(self, shelved, trained):
        newer = another(trained)
        registry.stand(shelved, registry.SHADOW, at=NOON)
        registry.stand(newer, registry.SHADOW, at=NOON + MINUTE)
        registry.step_back(shelved, registry.SHADOW)
        held = registry.alias(registry.SHADOW)
        assert (held.version, held.since) == (newer, NOON + MINUTE)


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once_queue_and_follow_each_other(reigning, trained):
    challengers = [another(trained, hours) for hours in (1, 2)]
    start = threading.Barrier(2)

    def promote(name: str) -> None:
        start.wait()
        registry.promote(name, at=NOON)
        connection.close()

    threads = [threading.Thread(target=promote, args=(version.name,)) for version in challengers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latest, before, first = Promotion.objects.all()
    assert {latest.version, before.version} == set(challengers)
    assert (latest.follows, before.follows, first.version) == (before, first, reigning)
    assert registry.champion() == latest.version


class TestRollback:
    def test_goes_back_one_by_one_to_who_served_before(self, reigning, trained):
        second, third = another(trained, 1), another(trained, 2)
        for version in (second, third):
            registry.promote(version.name, at=NOON)
        assert registry.rollback(at=NOON + MINUTE) == second
        assert registry.rollback(at=NOON + 2 * MINUTE) == reigning
        with pytest.raises(registry.NothingToRollBackTo):
            registry.rollback(at=NOON + 3 * MINUTE)
        assert [row.version for row in Promotion.objects.all()] == [reigning, second, third, second, reigning]

    def test_is_on_record_as_the_undoing_of_a_promotion(self, reigning, trained):
        registry.promote(another(trained).name, at=NOON)
        undone = Promotion.objects.first()
        registry.rollback(at=NOON + MINUTE, reason="declines everybody")
        latest = Promotion.objects.first()
        assert (latest.undoes, latest.reason) == (undone, "declines everybody")

    def test_leads_on_from_where_it_went(self, reigning, trained):
        """Promoted again after a rollback, a version is rolled back to what served in between."""
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        registry.rollback(at=NOON + MINUTE)
        registry.promote(challenger.name, at=NOON + 2 * MINUTE)
        assert registry.rollback(at=NOON + 3 * MINUTE) == reigning

    def test_needs_somebody_who_served(self, reigning):
        with pytest.raises(registry.NothingToRollBackTo):
            registry.rollback(at=NOON)

    def test_to_a_damaged_model_leaves_the_champion(self, reigning, trained, models_dir):
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        (models_dir / reigning.artifact / "manifest.hmac").unlink()
        with pytest.raises(ArtifactRefused):
            registry.rollback(at=NOON + MINUTE)
        assert registry.champion() == challenger
        assert Promotion.objects.count() == 2


# --- files that must not serve --------------------------------------------------------------------------------
def sign_again(directory, **changes):
    """Change the manifest and sign it with our key, as only we can."""
    manifest = json.loads((directory / artifact.MANIFEST).read_bytes()) | changes
    text = json.dumps(manifest).encode()
    (directory / artifact.MANIFEST).write_bytes(text)
    (directory / artifact.SIGNATURE).write_text(artifact.sign(text, registry.signing_key()))


def damaged(directory):
    weights = directory / artifact.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])


def unsigned(directory):
    (directory / artifact.SIGNATURE).unlink()


def of_another_key(directory):
    text = (directory / artifact.MANIFEST).read_bytes()
    (directory / artifact.SIGNATURE).write_text(artifact.sign(text, b"the key of somebody else"))


def of_an_old_format(directory):
    sign_again(directory, format=1)


def of_other_answers(directory):
    """Whose tables, processor or library would say something else than Keras did when it was trained."""
    answers = json.loads((directory / artifact.MANIFEST).read_bytes())["answers"]
    answers["default"][0] += 2e-6
    sign_again(directory, answers=answers)


def for_other_features(directory):
    sign_again(directory, features_version="0123456789ab")


def linked(directory):
    weights = directory / artifact.WEIGHTS
    elsewhere = directory.parent / "elsewhere.npz"
    weights.rename(elsewhere)
    weights.symlink_to(elsewhere)


def pickled(directory):
    """Ours by signature and hash, but with an array that only unpickling could read."""
    weights = directory / artifact.WEIGHTS
    with weights.open("wb") as file:
        np.savez(file, **{"encode/low": np.array([Bomb()], dtype=object)})
    sign_again(directory, weights_sha256=artifact.hashlib.sha256(weights.read_bytes()).hexdigest())


class Bomb:
    """Goes off when it is unpickled."""

    went_off = False

    def __reduce__(self):
        return (setattr, (Bomb, "went_off", True))


def gone(directory):
    shutil.rmtree(directory)


REFUSED = {
    damaged: "not those that were signed",
    unsigned: "cannot be read",
    of_another_key: "not signed by our key",
    of_an_old_format: f"format must be {artifact.FORMAT}, got 1",
    of_other_answers: "by tables the answers are 2.* from those that Keras gave",
    for_other_features: "features must be",
    linked: "cannot be read",
    pickled: "no plain arrays",
    gone: "cannot be read",
}


class TestAFileThatMustNotServe:
    @pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
    def test_is_refused_in_words_and_the_champion_stays(self, reigning, trained, models_dir, spoil):
        challenger = another(trained)
        spoil(models_dir / challenger.artifact)
        with pytest.raises(ArtifactRefused, match=REFUSED[spoil]):
            registry.promote(challenger.name, at=NOON)
        assert registry.champion() == reigning
        assert Promotion.objects.count() == 1

    def test_is_never_unpickled(self, reigning, trained, models_dir):
        challenger = another(trained)
        pickled(models_dir / challenger.artifact)
        Bomb.went_off = False
        with pytest.raises(ArtifactRefused):
            registry.open_artifact(challenger.name)
        assert not Bomb.went_off
        pickle.loads(pickle.dumps(Bomb()))
        assert Bomb.went_off, "the bomb is live"

    def test_may_be_another_model_of_ours_in_its_place(self, reigning, trained, models_dir):
        challenger = another(trained)
        other = with_weights(trained, {"calibrate/slope": np.float32(2)})
        foreign = registry.register(other, comparison=NO_RIVAL, at=NOON + timedelta(hours=5))
        shutil.rmtree(models_dir / challenger.artifact)
        (models_dir / foreign.artifact).rename(models_dir / challenger.artifact)
        with pytest.raises(ArtifactRefused, match="another model"):
            registry.promote(challenger.name, at=NOON)
        assert registry.champion() == reigning


class TestCommand:
    def test_lists_promotes_and_rolls_back(self, reigning, trained, capsys):
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        call_command("models", "promote", reigning.name)
        call_command("models")
        call_command("models", "rollback")
        call_command("models", "history")
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{reigning.name} serves")
        assert [" ".join(line.split()[1:3]) for line in lines[1:3]] == ["Served before", "Serving 800"]
        assert lines[3].startswith(f"{challenger.name} serves")
        assert [line.split()[2] for line in lines[4:]] == [
            version.name for version in (challenger, reigning, challenger, reigning)
        ]

    def test_of_one_person_lets_nobody_serve_whose_risk_is_unknown(self, reigning, trained):
        challenger = another(trained)
        with pytest.raises(CommandError, match=r"needs 200 live decisions, got 0.*second person"):
            call_command("models", "promote", challenger.name)
        assert registry.champion() == reigning

    def test_of_one_person_replaces_a_champion_that_cannot_serve(self, reigning, trained, models_dir):
        challenger = another(trained)
        shutil.rmtree(models_dir / reigning.artifact)
        call_command("models", "promote", challenger.name)
        assert registry.champion() == challenger

    def test_proposes_in_the_name_of_who_may(self, reigning, trained):
        challenger = another(trained)
        mwende = User.objects.create_user("mwende")
        with pytest.raises(CommandError, match="who may propose"):
            call_command("models", "propose", challenger.name, "--by", "mwende")
        mwende.user_permissions.add(Permission.objects.get(codename="add_proposal"))
        call_command("models", "propose", challenger.name, "--by", "mwende", "--reason", "Longer history.")
        waiting = Proposal.objects.get()
        assert (waiting.act, waiting.maker, waiting.state) == ("model_promote", mwende, "pending")

    def test_takes_a_challenger_out_of_the_shadow(self, reigning, trained):
        challenger = another(trained)
        registry.stand(challenger, registry.SHADOW, at=NOON)
        call_command("models", "shelve", challenger.name)
        assert registry.state(challenger) == "Shelved"

    @pytest.mark.parametrize("arguments", [["promote"], ["promote", "nobody"], ["propose", "nobody"], ["rollback"]])
    def test_says_what_it_needs(self, reigning, arguments):
        with pytest.raises(CommandError):
            call_command("models", *arguments)
        assert registry.champion() == reigning


def test_the_signing_key_is_not_the_key_it_is_made_from(settings):
    assert settings.CALLBACK_KEY.encode() not in registry.signing_key()
    before = registry.signing_key()
    settings.CALLBACK_KEY += "x"
    assert registry.signing_key() != before
