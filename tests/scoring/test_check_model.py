import numpy as np
import pytest
from django.core.management import CommandError, call_command

from ml import events, features
from ml.train import train
from scoring import registry, training
from scoring.management.commands.check_model import latest_applicants
from tests import factories
from tests.factories import NOON
from tests.ml.conftest import SMALL, without_promises
from tests.ml.portfolio import portfolio
from tests.scoring import history
from tests.scoring.conftest import NO_RIVAL
from tests.scoring.test_decide import DAYS, decided


@pytest.fixture(scope="module")
def sound():
    return train(portfolio(2_000), seed=1, plan=SMALL)


@pytest.fixture
def an_old_book(monkeypatch):
    """Let the ended loans be the made-up ones: so many real histories would take a minute to write."""
    monkeypatch.setattr(training, "training_set", lambda until: portfolio(1_200))


class TestCheckModel:
    def test_tries_the_champion_on_the_latest_people(self, db, models_dir, sound, an_old_book, capsys):
        version = registry.register(sound, comparison=NO_RIVAL, at=NOON)
        registry.promote(version.name, at=NOON)
        call_command("check_model")

        told = capsys.readouterr().out.splitlines()
        assert told[0] == f"{version.name} on 1,000 applicants whose loans have ended"
        assert {line.split()[0] for line in told[1:]} == {"ok"}
        assert any("last_one_later: the last loan repaid 30 days later" in line for line in told)

    def test_ends_badly_where_one_misbehaves(self, db, models_dir, an_old_book, capsys):
        """Shelved, trained on outcomes turned round: safe is who was always late."""
        book = portfolio(2_000)
        with without_promises():
            turned = train(type(book)(**vars(book) | {"default": 1 - book.default}), seed=1, plan=SMALL)
        version = registry.register(turned, comparison=NO_RIVAL, at=NOON)
        with pytest.raises(SystemExit):
            call_command("check_model", version.name)
        assert "FAIL  worst_record" in capsys.readouterr().out

    def test_prefers_what_decisions_saw(self, amina, reigning):
        history.loan(amina, NOON - 100 * DAYS, days_late=0)
        decision = decided(amina)
        (people, happened), whose = latest_applicants(NOON + DAYS)
        assert whose == "applicants as their decisions saw them"
        assert people.shape == (1, len(features.NAMES))
        assert events.to_json(happened[0]) == decision.inputs["events"] != []
        asked = people[0, features.NAMES.index("requested_cents")]
        assert asked == np.float32(decision.inputs["features"]["requested_cents"])

    def test_leaves_out_decisions_of_other_features(self, amina, reigning, fixed_scorer):
        factories.decide(factories.apply(amina), "decline", inputs={"features": {"gone": 1}}, feature_version="old")
        told, whose = latest_applicants(NOON + DAYS)
        assert (len(told[0]), whose) == (0, "applicants whose loans have ended")

    @pytest.mark.parametrize(("arguments", "words"), [((), "nobody serves"), (("gone",), "no model is named gone")])
    def test_refuses_what_it_cannot_try(self, db, models_dir, arguments, words):
        with pytest.raises(CommandError, match=words):
            call_command("check_model", *arguments)

    def test_needs_somebody_to_try_it_on(self, reigning):
        with pytest.raises(CommandError, match="no decision and no ended loan"):
            call_command("check_model")
