"""The resident's copy of a signal, and the words of questions: what is sealed to the viewer (R18, R21)."""

from __future__ import annotations

from consent_ledger import questions
from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant, Registry
from consent_ledger.service.validation import parse
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.port import AllRows
from gateway.crypto import hpke
from gateway.crypto.batch import SealedCopy
from gateway.crypto.viewer_side import Opening, open_copy, read_header
from gateway.sdk.agency import Agency
from gateway.sdk.readable import lines_of
from gateway.v1 import exchange_pb2, signals_pb2


class Reader:
    """Opens what is sealed to this viewer."""

    def __init__(self, agency: Agency) -> None:
        """Read the viewer's private key once."""
        self._agency = agency
        self._private = hpke.PrivateKey.from_bytes(agency.organisation.key("hpke"))

    @property
    def key_id(self) -> bytes:
        """Id of the viewer's key."""
        return self._private.key_id

    async def copy(self, rows: AllRows, log_index: int) -> pb.SignalCopy:
        """Return the copy of the signal decided at an index; raises ENTRY_UNKNOWN, COPY_GONE, or as ``open_copy``."""
        remote = self._agency.remote
        opened = await remote.open_copy(pb.OpenCopyRequest(rows=rows, log_index=log_index))
        wanted = exchange_pb2.GetCopyRequest(header_hash=opened.header_hash, position=opened.position)
        kept = await remote.get_copy(wanted)
        copy = SealedCopy(**{name: getattr(kept, name) for name in SealedCopy.__dataclass_fields__})
        opening = Opening(opened.header_hash, opened.position, opened.opening, opened.root)
        header, registry = read_header(copy, opening), await self._agency.registry()
        public = _signing_key(registry.participant(header.sender), header.sender_key_id)
        signal = parse(signals_pb2.Signal, open_copy(copy, opening, header, self._private, public), "payload")
        not_shared = registry.purpose(header.purpose).not_shared
        return pb.SignalCopy(lines=lines_of(signal), not_shared=not_shared.to_proto() if not_shared else None)

    def question(self, record: pb.QuestionRecord) -> pb.QuestionInClear:
        """Return a question with its words; what was sealed to a key that is gone has none."""
        asked = self._text(questions.INFO_COPY, record.question_id, record.question_key_id, record.sealed_question)
        answer = self._text(questions.INFO_ANSWER, record.question_id, record.answer_key_id, record.sealed_answer)
        return pb.QuestionInClear(record=record, text=asked, answer=answer)

    def _text(self, info: bytes, question_id: bytes, key_id: bytes, sealed: bytes) -> str:
        if not sealed or key_id != self._private.key_id:
            return ""
        plain = hpke.open_(self._private, info + question_id, sealed, field_name="sealed")
        return str(parse(pb.QuestionText, plain, "sealed").text)


def _signing_key(sender: Participant, key_id: bytes) -> bytes:
    """Return the key that a batch was signed with, also when the sender has another one by now."""
    for key in sender.keys:
        if key.key_id == key_id and key.usage == "sign":
            return key.public
    raise RegieError("KEY_UNKNOWN", "this batch was signed with a key that its sender never had", "header")


def sealed_question(
    registry: Registry,
    viewer: str,
    question_id: bytes,
    *,
    organisation: str,
    text: str,
    language: str,
    about_index: int,
) -> pb.Ask:
    """Return a question sealed to the organisation, and to the viewer, both of one size whatever was asked."""
    plain = padded(pb.QuestionText(text=text, language=language))
    to_organisation = registry.participant(organisation).key("hpke")
    to_viewer = registry.participant(viewer).key("hpke")
    return pb.Ask(
        organisation=organisation,
        about_index=about_index,
        sealed=hpke.seal(to_organisation.public, questions.INFO_QUESTION + question_id, plain),
        organisation_key_id=to_organisation.key_id,
        sealed_viewer=hpke.seal(to_viewer.public, questions.INFO_COPY + question_id, plain),
        viewer_key_id=to_viewer.key_id,
    )


def padded(text: pb.QuestionText) -> bytes:
    """Return QuestionText bytes of ``questions.TEXT_BYTES``; raises FIELD_INVALID when the text does not fit."""
    room = questions.TEXT_BYTES - text.ByteSize() - 3  # tag of the padding and two bytes for its length
    if room < 128:
        raise RegieError("FIELD_INVALID", "a question has at most 1500 characters", "text")
    text.padding = bytes(room)
    return text.SerializeToString(deterministic=True)
