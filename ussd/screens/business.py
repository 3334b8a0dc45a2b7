"""To come."""

from django.utils.translation import pgettext

from ussd import samples
from ussd.engine import Dialogue, End, View, screen


@screen("business.start", samples=[samples.fresh])
def start(dialogue: Dialogue) -> View:
    return End(pgettext("business.start", "The book of your business opens here soon."))
