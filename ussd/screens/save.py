"""To come."""

from django.utils.translation import pgettext

from ussd import samples
from ussd.engine import Dialogue, End, View, screen


@screen("save.start", samples=[samples.fresh])
def start(dialogue: Dialogue) -> View:
    return End(pgettext("save.start", "Your savings open here soon."))
