"""All that the tables beside the log should say, folded from the log alone (ledger.md: they are projections).

The same pure ``fold`` as the writer's, over one pass of the leaves; what the log no longer tells because it was erased
is marked, not guessed.
"""

from __future__ import annotations

from array import array

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.registry import Registry
from consent_ledger.v1.events_pb2 import Event, PrivatePart
from consent_ledger.verify.exchanges import Exchanges
from consent_ledger.verify.snapshot import RowError
from consent_ledger.verify.subjects import Subjects
from consent_ledger.verify.tasks import KINDS, REPORTS, TaskFacts
from consent_ledger.verify.walk import Gone, Item, Opened, Published, Report, Unopenable, content_error

_FOLLOWING = frozenset({"exchange_released", "exchange_withheld", "exchange_acknowledged", "outcome_reported"})


class Facts:
    """What the log says, while it is read in order; events that do not check go to ``report``."""

    def __init__(self, report: Report) -> None:
        """Begin with nothing."""
        self.subjects = Subjects()
        self.exchanges = Exchanges()
        self.registry = Registry()
        self.log_keys: dict[str, None] = {}  # every verifier key the log ever had, retired ones too
        self.public: array[int] = array("Q")  # indices of public events
        self.choices: array[int] = array("Q")  # indices of what residents chose
        self.outcomes: array[int] = array("Q")  # indices of reports of agencies: outcomes, and on tasks
        self.tasks = TaskFacts()
        self.erasures: set[int] = set()  # indices of RecordErased
        self.last_ms: int | None = 0  # time of the newest leaf; None: it cannot be opened
        self._report = report

    def add(self, item: Item) -> None:
        """Take in the next leaf."""
        match item:
            case Opened():
                self._opened(item)
                self.last_ms = item.event.time_ms
            case Published():
                self._published(item)
                self.last_ms = item.event.time_ms
            case Gone():
                self.subjects.skip(item.idx, item.commitment)
                self.last_ms = None
            case Unopenable():
                self._report(item.error)
                self.subjects.skip(item.idx, item.commitment)
                self.last_ms = None

    def _published(self, item: Published) -> None:
        self.public.append(item.idx)
        if item.event.HasField("log_key_added"):
            self.log_keys[item.event.log_key_added.verifier_key] = None
        try:
            self.registry = self.registry.apply(item.idx, item.event)
        except RegieError as error:
            self._report(RowError("leaf", item.idx, "entry", "a public event that can be", error.message))

    def _task(self, index: int, event: Event, private: PrivatePart) -> None:
        self.tasks.add(index, event, private)
        name = event.WhichOneof("body")
        if name in REPORTS:
            self.outcomes.append(index)
        elif name == "question_asked":
            self.choices.append(index)  # recorded like one, and answered for like one

    def _opened(self, item: Opened) -> None:
        index, event, private = item.idx, item.event, item.private
        try:
            subjects = self.subjects.add(index, item.commitment, private)
        except VerificationError as error:
            self._report(content_error(index, error))
            return
        name = event.WhichOneof("body")
        if name == "exchange_decided":
            self.exchanges.decided(index, event.exchange_decided, private.links[0].subject if private.links else b"")
        elif name in _FOLLOWING:
            # Whether it may have happened is for the replay to judge: here only what the tables should say counts.
            self.exchanges.followed(index, event)
            if name == "outcome_reported":
                self.outcomes.append(index)
        elif name in KINDS:
            self._task(index, event, private)
        elif name == "record_erased":
            self.erasures.add(index)
        elif name != "attempt_refused":  # which is answered with its refusal, and nothing is kept of that
            self.choices.append(index)
        for subject in subjects:
            subject.fold(index, event, private)
