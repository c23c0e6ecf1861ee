"""The directory and the log as this home's organisations get them: verified, its operators apart, published, fresh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.keys import AnyVerifier, parse_verifiers
from consent_ledger.publishing.publisher import REFRESH_MS
from consent_ledger.registry import Registry
from consent_ledger.separation import check_separation
from consent_ledger.service.http import prefix_of
from consent_ledger.v1 import log_pb2, log_pb2_grpc
from gateway.directory.channels import open_channel
from gateway.directory.client import DirectoryClient
from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.home import HomeError, Organisation
from gateway.sdk.publiclog import public_log
from gateway.witness.quorum import quorum_of

DIRECTORY, LOG = "directory", "log"
SECONDS = 5.0
CATCHES_UP_MS = 60_000
"""A checkpoint is published within seconds of its head: so long after it, the witnesses are what is missing."""
_AGAINST = "do not exchange anything: compare the log's verifier keys with its operator, and run `regie log verify`"


async def check_directory(case: Case) -> list[Finding]:
    """Fetch the directory and verify it; then look whether this home's organisations stand in it as they are here."""
    asking = case.asking()
    from_ledger = asking.oin in {case.home.operators[role] for role in ("gateway", "pseudonyms", "ledger")}
    client = DirectoryClient(case.home, asking, "ledger" if from_ledger else "gateway", case.clock)
    try:
        registry = await client.fetch()
    except RegieError as error:
        if error.status == "UNAVAILABLE":
            how = "start gateway and ledger; the findings about roles say which does not answer"
            return [fail(DIRECTORY, f"the directory cannot be fetched: {error.message}", how, reached=False)]
        return [fail(DIRECTORY, f"the directory does not verify: {error.message}", _AGAINST)]
    finally:
        await client.close()
    size = client.directory.checkpoint.size if client.directory.checkpoint else 0
    found = [
        ok(DIRECTORY, f"the directory of {len(registry.participants)} participants verifies in a log of {size} entries")
    ]
    return [*found, *separate(case, registry), *registered(case, registry)]


def separate(case: Case, registry: Registry) -> Iterator[Finding]:
    try:
        check_separation(registry)
    except RegieError as error:
        yield fail(DIRECTORY, error.message, "let another organisation operate one of the two roles")
        return
    if case.home.demo:
        what = "this home is marked demo: its operators have different names and one machine, so nobody is separated"
        yield warn(DIRECTORY, what, "use it for trying out only; real roles are made without --demo")
    else:
        yield ok(DIRECTORY, "the operators that must be apart are different organisations")


def registered(case: Case, registry: Registry) -> Iterator[Finding]:
    for organisation in case.organisations:
        participant = registry.find_participant(organisation.oin)
        if participant is None:
            what = f"organisation {organisation.oin} has keys here and does not take part"
            yield fail(DIRECTORY, what, "have it registered, or take its folder out of this home")
        elif participant.suspended:
            how = "ask the ledger's operator why; nothing of it is served meanwhile"
            yield fail(DIRECTORY, f"organisation {organisation.oin} is suspended", how)
        elif not _same_certificate(organisation, participant.certificate):
            what = f"the certificate of organisation {organisation.oin} here is not the one that the directory has"
            yield warn(DIRECTORY, what, "have the new certificate registered: its keys are signed with the old one")


def _same_certificate(organisation: Organisation, registered: bytes) -> bool:
    try:
        ours = x509.load_pem_x509_certificate(organisation.certificate).public_bytes(Encoding.DER)
    except (HomeError, ValueError):
        return True  # a finding about certificates
    return ours == registered


async def check_log(case: Case) -> list[Finding]:
    """Read the public log's checkpoint as a stranger does, and compare it with the ledger's newest head."""
    try:
        quorum, keys = quorum_of(case.home), parse_verifiers(case.home.log_verifier_key)
    except (HomeError, VerificationError) as error:
        return [fail(LOG, str(error), "correct the verifier keys in regie.toml")]
    if "log" not in case.home.addresses:
        return []
    url = f"http://{case.home.addresses['log']}{prefix_of(keys[0].name)}"
    try:
        async with public_log(url) as log:
            note = await log.checkpoint()
        published = quorum.open(note, keys)
        seen = quorum.cosigned(note)
    except RegieError as error:
        return [fail(LOG, error.message, "start the ledger, and its witnesses before it", reached=False)]
    except VerificationError as error:
        return [fail(LOG, f"the published checkpoint does not check: {error}", _AGAINST)]
    head = await _head(case, keys)
    return [*freshness(case, published, seen, head), *_missing(case, seen)]


async def _head(case: Case, keys: Sequence[AnyVerifier]) -> int | None:
    """Return the size of the ledger's newest head; None when it does not say, which others report.

    It is not remembered: the gateway gives its directory seconds later, and would seem to go back.
    """
    try:
        async with open_channel(case.home, case.asking(), "ledger") as channel:
            request = log_pb2.GetCheckpointRequest()
            answer = await log_pb2_grpc.LogServiceStub(channel).GetCheckpoint(request, timeout=SECONDS)
        return open_checkpoint(answer.checkpoint, keys).size
    except (RegieError, HomeError, VerificationError, grpc.aio.AioRpcError, ValueError):
        return None


def freshness(case: Case, published: Checkpoint, seen: dict[str, int], head: int | None) -> Iterator[Finding]:
    age = case.clock() - max(seen.values()) * 1000 if seen else 0
    behind = max(0, (head or 0) - published.size)
    how = "see that the witnesses of regie.toml run and that the ledger reaches them; its log names who does not answer"
    if age < -CATCHES_UP_MS:
        yield fail(LOG, f"the published checkpoint was cosigned {-age // 1000} s in the future", "compare the clocks")
    elif age > 2 * REFRESH_MS:
        yield fail(LOG, f"the published checkpoint is {age // 60_000} minutes old: an hour is the most", how)
    elif behind and age > CATCHES_UP_MS:
        yield warn(LOG, f"{behind} entries of the log are not witnessed after {age // 1000} s", how)
    else:
        yield ok(
            LOG, f"{published.size} entries are signed and published, with {len(seen)} witnesses, {age // 1000} s ago"
        )


def _missing(case: Case, seen: dict[str, int]) -> Iterator[Finding]:
    if not case.home.witnesses:
        what = "this log has no witness: a copy of it with another history would not be noticed"
        yield warn(LOG, what, "add witnesses that others run to regie.toml (docs/witnesses.md)")
    for witness in quorum_of(case.home).witnesses:
        if witness.name not in seen:
            how = "ask its operator; while the quorum is there, publishing goes on without it"
            yield warn(LOG, f"the witness {witness.name} did not cosign the published checkpoint", how)
