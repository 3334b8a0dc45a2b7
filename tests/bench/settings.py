"""The product's settings with one more address: the bare view that hops are measured against."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
