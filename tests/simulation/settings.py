"""The product's settings with a scorer that always says yes: what is simulated is the line, not the judgement."""

from config.settings import *  # noqa: F403

CREDIT_SCORER = "tests.factories.FixedScorer"
