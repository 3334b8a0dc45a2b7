"""The generic gateway: descriptions that make no sense, and answers that stay well-formed."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ussd.gateways import generic
from ussd.sessions import Reply

NEEDED = {"number": "msisdn", "input": "text", "input_is": "latest"}


@pytest.mark.parametrize(
    "described",
    [
        "{",
        "[]",
        "{}",
        json.dumps(NEEDED | {"input_is": "sometimes"}),
        json.dumps(NEEDED | {"unheard": 1}),
        json.dumps(NEEDED | {"country": "Kenya"}),
        json.dumps(NEEDED | {"ends": {"field": "event", "values": ["end"]}}),
        json.dumps(NEEDED | {"input_is": "cumulative", "hop": "n"}),
    ],
)
def test_a_description_that_cannot_be_understood_is_refused(described: str) -> None:
    with pytest.raises(ValidationError):
        generic.wire_of(described)


@pytest.mark.parametrize(
    ("content_type", "template", "written"),
    [
        ("text/plain", "CON {text}", 'CON a "b" <c>\n{number} {text}'),
        ("application/json", '{"m": {text}, "n": {number}}', None),
        ("text/xml", "<m>{text}</m>", '<m>a "b" &lt;c&gt;\n{number} {text}</m>'),
    ],
)
def test_an_answer_is_well_formed_whatever_it_says(
    settings: Any, content_type: str, template: str, written: str | None
) -> None:
    answer = {"goes_on": {"template": template}, "content_type": content_type}
    settings.GENERIC_GATEWAY = json.dumps(NEEDED | answer)
    text = 'a "b" <c>\n{number} {text}'
    response = generic.gateway.render({"msisdn": '"254'}, Reply(text, ends=False))
    if written is None:
        assert json.loads(response.content) == {"m": text, "n": '"254'}
    else:
        assert response.content.decode() == written


def test_a_number_of_the_hop_tells_it_from_its_copies(settings: Any) -> None:
    settings.GENERIC_GATEWAY = json.dumps(NEEDED | {"session": "s", "hop": "n", "sends": "query"})
    event = generic.gateway.read({"msisdn": "254711000101", "text": "1", "s": "a", "n": "7"}, at=None)
    assert event.latest.key == "7"
