"""A rail that behaves: takes each id once, answers what the test has lined up, remembers who asked."""

from collections import deque

from lending.ports import Accepted, Answer, NotFound, PaymentOrder, Unknown


class Operator:
    """Accepts everything unless `submit` or `ask` hold other answers; `None` in them means the usual one.

    A callable among them is called with the order first: it may look around, wait, or die.
    """

    def __init__(self) -> None:
        self.submit: deque = deque()
        self.ask: deque = deque()
        self.sent: list[PaymentOrder] = []
        self.asked: list[PaymentOrder] = []
        self.taken: set[str] = set()

    def disburse(self, order: PaymentOrder) -> Answer:
        return self._take(order)

    def request_payment(self, order: PaymentOrder) -> Answer:
        return self._take(order)

    def query(self, order: PaymentOrder) -> Answer:
        self.asked.append(order)
        return self._next(self.ask, order) or Unknown("pending")

    def _take(self, order: PaymentOrder) -> Answer:
        self.sent.append(order)
        answer = self._next(self.submit, order)
        if answer is None:
            answer = Accepted("" if order.provider_ref in self.taken else f"request-{order.provider_ref}")
            self.taken.add(order.provider_ref)
        return answer

    def _next(self, answers: deque, order: PaymentOrder) -> Answer | None:
        answer = answers.popleft() if answers else None
        return answer(order) if callable(answer) else answer

    def knows(self, order: PaymentOrder) -> Answer:
        """Return what a status query of an honest rail would find."""
        return Unknown("pending") if order.provider_ref in self.taken else NotFound()


current = Operator()


def rail() -> Operator:
    """Return the operator of the running test; settings name this."""
    return current
