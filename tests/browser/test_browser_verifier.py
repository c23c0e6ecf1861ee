"""The verifier in a real browser: what Python's accepts it accepts, and whatever is changed it refuses."""

from __future__ import annotations

import base64
import json

import pytest
import pytest_asyncio

from consent_ledger import dates, texts
from consent_ledger.events import commitment, committed_entry
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import consistency_path, inclusion_path
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.v1.consents_pb2 import Refuse, Withdraw
from consent_ledger.viewer.checking.bundle import Bundle
from consent_ledger.viewer.checking.program import MODULES, program, words
from consent_ledger.viewer.checking.proving import bundle_for
from tests.support.checking import CATALOGUE, TRUST, LedgerProofs
from tests.support.ledger import ARREARS, SIGNER, Ledger, grant, scope, subject

EXPORTS = "check,parseAny,fromBase64,toBase64,fromDecimal,verifyInclusion,verifyConsistency,openCheckpoint,parseTrust"
TAIL = f"""
const shape = (done) => ({{ verdict: done.steps.verdict, steps: done.steps.steps.map(
  ({{ name, state, why, detail }}) => [name, state, why ?? detail ?? ""]), facts: done.story && done.steps.verdict !== "wrong"
  ? done.entries.map((entry) => {{ try {{ return done.story.facts(entry, LANGUAGE, PROGRAM.words[LANGUAGE]) }}
    catch (error) {{ return {{ error: error.message }} }} }}) : [] }});
let LANGUAGE = "nl";
window.regie = {{ {EXPORTS}, day, Chain, proves, compareHeads,
  whole: (text) => check(text, PROGRAM), run: async (text, options = {{}}) => {{ LANGUAGE = options.language ?? "nl"; return shape(await check(text, PROGRAM, options)) }} }};
"""


class Verifier:
    """The program in a page of its own."""

    def __init__(self, page) -> None:
        self.page = page

    async def check(self, text: str, **options):
        return await self.page.evaluate("([text, options]) => regie.run(text, options)", [text, options])

    async def run(self, body: str, *values):
        return await self.page.evaluate(f"async (values) => {{ const r = regie; {body} }}", list(values))

    async def refusal(self, body: str, *values) -> str:
        """The message with which it refuses; "" when it does not."""
        return await self.run(f"try {{ {body} }} catch (error) {{ return error.message }} return ''", *values)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def verifier(chromium):
    page = await chromium.new_page()
    # WebCrypto is there in secure contexts only; a page of this machine is one.
    await page.route(
        "**/*", lambda route: route.fulfill(body="<!doctype html><title>x</title>", content_type="text/html")
    )
    await page.goto("http://localhost/")
    await page.add_script_tag(content=program(MODULES, TRUST, CATALOGUE) + TAIL, type="module")
    await page.wait_for_function("window.regie !== undefined")
    yield Verifier(page)
    await page.close()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    made = Ledger(tmp_path_factory.mktemp("browser") / "ledger.db")
    yield made
    made.close()


@pytest.fixture(scope="module")
def story(ledger):
    """Somebody who said yes, was shared once, stopped, and was protected once; the indices of it all."""
    granted = ledger.record("Anna", grant=grant())
    ledger.record("Ben", refuse=Refuse(scope=scope()))
    ledger.clock.forward(days=1)
    hh, listed = ledger.decide(["Anna"], 1)
    ledger.release(hh)
    ledger.clock.forward(days=1)
    withdrawn = ledger.record("Anna", withdraw=Withdraw(scope=scope()))
    _, refused = ledger.decide(["Anna"], 2)
    released = next(index for index, event, _ in ledger.events() if event.WhichOneof("body") == "exchange_released")
    return {
        "granted": granted.log_index,
        "decided": listed.log_indices[0],
        "released": released,
        "withdrawn": withdrawn.log_index,
        "refused": refused.log_indices[0],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def whole(ledger, story):
    return await bundle_for(LedgerProofs(ledger), [], [story["decided"], story["released"], story["refused"]])


def event_of(ledger, index):
    return next(event for at, event, _ in ledger.events() if at == index)


async def test_what_python_accepts_klopt(verifier, whole):
    assert whole.verdict(TRUST) == "ok"
    found = await verifier.check(whole.to_json())
    assert found["verdict"] == "ok", found["steps"]
    assert [step[0] for step in found["steps"]] == ["file", "signature", "place", "witnesses"]


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_the_words_are_those_of_the_ledger(verifier, whole, ledger, story, language):
    """Sentence, names, items and days come from the bytes, and equal what Python says of the same entries."""
    found = await verifier.check(whole.to_json(), language=language)
    facts = dict(zip([entry.receipt.index for entry in whole.entries], found["facts"], strict=True))
    day = dates.day_nl if language == "nl" else dates.day_en
    registry = ledger.sequencer.registry
    agreed = event_of(ledger, story["granted"]).time_ms
    stopped = event_of(ledger, story["withdrawn"]).time_ms
    shared, blocked = facts[story["decided"]], facts[story["refused"]]
    assert shared["sentence"] == getattr(texts.sentence(pb.REASON_ALLOWED, agreed, ""), language)
    assert blocked["sentence"] == getattr(texts.sentence(pb.REASON_WITHDRAWN, stopped, ""), language)
    body = event_of(ledger, story["decided"]).exchange_decided
    purpose = registry.purpose(ARREARS)
    assert shared["sender"] == registry.participant(body.sender).name
    assert shared["recipient"] == registry.participant(body.recipient).name
    assert shared["purpose"] == getattr(purpose.title, language)
    assert shared["item"] == [getattr(purpose.label(item), language) for item in body.items]
    assert shared["not_shared"] == getattr(purpose.not_shared, language)
    assert shared["day"] == day(event_of(ledger, story["decided"]).time_ms)
    grant_facts = facts[story["granted"]]
    assert grant_facts["until"] == day(event_of(ledger, story["granted"]).consent_granted.valid_until_ms)
    assert grant_facts["mode"] == CATALOGUE[language].text("delen.mode_1")


def test_every_reason_is_said_as_the_ledger_says_it():
    """The program's templates, filled by it, against the sentences of texts.py."""
    at = 1_772_539_200_000
    for language, said in words(CATALOGUE).items():
        day = (dates.day_nl if language == "nl" else dates.day_en)(at)
        for reason in pb.Reason.values():
            if reason:
                expected = getattr(texts.sentence(reason, at, "Lampje"), language)
                assert said[f"reason.{reason}"].replace("{date}", day).replace("{asker}", "Lampje") == expected
        held = getattr(texts.withheld(pb.REASON_WITHDRAWN, at, "Lampje"), language)
        silent = getattr(texts.sentence(pb.REASON_REFUSED, at, "", silent=True), language)
        assert said[f"reason.{pb.REASON_REFUSED}.silent"].replace("{date}", day) == silent
        why = said[f"reason.{pb.REASON_WITHDRAWN}"].replace("{date}", day).removeprefix(said["blocked"])
        assert said["withheld"].replace("{why}", why) == held
        assert said["waiting"].replace("{date}", day) == getattr(texts.waiting(at), language)


async def test_days_are_those_of_the_netherlands(verifier):
    """Every hour around the changes of the clock, and around each midnight of a year."""
    moments = [
        1_767_225_600_000 + hour * 3_600_000 for hour in (*range(0, 8784, 23), *range(2080, 2120), *range(7120, 7180))
    ]
    for language, day in (("nl", dates.day_nl), ("en", dates.day_en)):
        said = await verifier.run(f"return values[0].map((at) => r.day(at, '{language}'))", moments)
        assert said == [day(at) for at in moments]


async def test_a_changed_word_is_noticed(verifier, whole, story):
    found = await verifier.check(whole.to_json())
    facts = dict(zip([entry.receipt.index for entry in whole.entries], found["facts"], strict=True))
    shown = [
        {"index": str(index), "fact": fact, "text": f"  {text}\n"}
        for index, said in facts.items()
        for fact, value in said.items()
        if fact != "kind"
        for text in ([value] if isinstance(value, str) else value)
    ]
    assert (await verifier.check(whole.to_json(), shown=shown))["verdict"] == "ok"
    for at, one in enumerate(shown):
        changed = [*shown[:at], {**one, "text": one["text"].replace("e", "a", 1) + "x"}, *shown[at + 1 :]]
        answer = await verifier.check(whole.to_json(), shown=changed)
        assert answer["verdict"] == "wrong", one
        assert answer["steps"][-1][0] == "words"
    items = [one for one in shown if one["fact"] == "item" and one["index"] == str(story["decided"])]
    for wrong in (
        [*shown, items[0]],  # one more item than was shared
        [{**shown[0], "index": "1"}],  # an entry without proof
        [{**shown[0], "fact": "income"}],
    ):
        assert (await verifier.check(whole.to_json(), shown=wrong))["verdict"] == "wrong"


async def test_every_changed_byte_of_a_bundle_is_noticed(verifier, whole):
    """Each base64 text and each number, changed in a few places: never "Klopt" with other content."""
    original = json.loads(whole.to_json())
    original["public"] = original["public"][:2]
    original["entries"] = original["entries"][:2]
    assert (await verifier.check(json.dumps(original)))["verdict"] == "ok"
    changes = []
    for kind in ("entries", "public"):
        for at, entry in enumerate(original[kind]):
            for name, value in entry.items():
                for other in _changed(value):
                    copy = json.loads(json.dumps(original))
                    copy[kind][at][name] = other
                    changes.append((f"{kind}.{name}", json.dumps(copy)))
    answers = await verifier.run(
        "const all = []; for (const text of values[0]) all.push((await r.run(text)).verdict); return all",
        [text for _, text in changes],
    )
    assert len(answers) > 60
    for (what, _), verdict in zip(changes, answers, strict=True):
        assert verdict in ("wrong", "later"), what
    assert answers.count("wrong") > 0.9 * len(answers)


def _changed(value):
    """Other values of the same form."""
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, list):
        flips = [[other, *value[1:]] for other in _changed(value[0])] if value else []
        return [*flips, value[:-1], [*value, base64.b64encode(bytes(32)).decode()], value[::-1]][
            : 4 if len(value) > 1 else 3
        ]
    if value.isdecimal() and len(value) < 6:
        return [str(int(value) + 1), "0" + value, str(2**63 - 1), "-1"]
    data = base64.b64decode(value)
    spots = sorted({0, len(data) // 3, len(data) // 2, len(data) - 1})
    flipped = [data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for at in spots]
    return [base64.b64encode(each).decode() for each in (*flipped, data[:-1], data + b"\0")]


async def test_every_changed_character_of_a_checkpoint_is_noticed(verifier, whole):
    """Not the lines of keys that nobody verifies here: those are skipped, as they must be."""
    original = json.loads(whole.to_json())
    note = original["checkpoints"][0]
    lines = note.split("\n")
    at_of = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
    checked = [n for n, line in enumerate(lines) if len(line) < 200 and "grease" not in line]
    spots = [at_of[n] + offset for n in checked for offset in range(0, len(lines[n]), 3)]
    texts = []
    for at in spots:
        other = "A" if note[at] != "A" else "B"
        texts.append(json.dumps({**original, "checkpoints": [note[:at] + other + note[at + 1 :]]}))
    answers = await verifier.run(
        "const all = []; for (const text of values[0]) all.push((await r.run(text)).verdict); return all", texts
    )
    # A witness's key id or name changed makes it a stranger: then the quorum is missing, which is no proof of a lie.
    assert "ok" not in answers
    assert answers.count("wrong") > len(answers) // 2


@pytest.mark.parametrize("witnesses", [0, 1, 2, 3])
async def test_a_quorum_of_witnesses(verifier, ledger, story, witnesses):
    bundle = await bundle_for(LedgerProofs(ledger, witnesses), [], [story["granted"]])
    found = await verifier.check(bundle.to_json())
    expected = "ok" if witnesses >= 2 else "later"
    assert (found["verdict"], bundle.verdict(TRUST)) == (expected, expected)
    assert found["steps"][-1][2] == ("" if witnesses >= 2 else "no-quorum")


async def test_proof_files(verifier, ledger, story):
    proof = (await LedgerProofs(ledger).proof([], story["granted"])).proof
    found = await verifier.check(proof)
    assert found["verdict"] == "ok"
    # Without the public entries organisations have numbers, not names.
    assert found["facts"][0]["sender"] == scope().sender
    for wrong in (
        "", "{", "{}", "null", proof + "\n", proof.replace("@v1", "@v2"), proof.replace("index ", "index 0"),
        proof.replace("extra ", "extra  "), "\n" + proof, proof.replace("\n\n", "\n", 1), proof[: len(proof) // 2],
    ):  # fmt: skip
        assert (await verifier.check(wrong))["verdict"] in ("wrong", "later"), wrong
        assert (await verifier.check(wrong))["verdict"] == "wrong" or "witness" in wrong


async def test_a_log_with_another_key_or_name(verifier, whole):
    original = json.loads(whole.to_json())
    head = Checkpoint.parse(original["checkpoints"][0].partition("\n\n")[0] + "\n")
    impostor = Signer(SIGNER.name, b"\1" * 32)
    original["checkpoints"] = [sign_checkpoint(head, [impostor])]
    assert (await verifier.check(json.dumps(original)))["verdict"] == "wrong"
    elsewhere = Signer("other.example/log", b"\1" * 32)
    original["checkpoints"] = [sign_checkpoint(Checkpoint(elsewhere.name, head.size, head.root), [elsewhere])]
    found = await verifier.check(json.dumps(original))
    assert (found["verdict"], found["steps"][-1][2]) == ("later", "other-log")


async def test_an_event_of_a_newer_version_is_not_called_wrong(verifier):
    """A field that this program does not know: it cannot tell, and says so."""
    event, salt = pb.Event(time_ms=1, private_digest=bytes(32)).SerializeToString() + b"\xfa\x3f\x01\x31", bytes(32)
    leaf = leaf_hash(committed_entry(commitment(salt, event)))
    note = sign_checkpoint(Checkpoint(SIGNER.name, 1, leaf), [SIGNER])
    entry = {
        "checkpoint": 0, "index": "0", "path": [], "private": "",
        "salt": base64.b64encode(salt).decode(), "event": base64.b64encode(event).decode(),
    }  # fmt: skip
    text = json.dumps({"format": "regie/bewijs@v1", "checkpoints": [note], "entries": [entry], "public": []})
    found = await verifier.check(text)
    assert (found["verdict"], found["steps"][-1][2]) == ("later", "newer")


async def test_trees_of_every_size(verifier):
    """Inclusion and consistency of all trees up to 20 leaves, with every proof also cut and lengthened."""
    leaves = [leaf_hash(bytes([n])) for n in range(20)]

    def tile(level, index, width):
        assert level == 0
        assert index == 0
        return b"".join(leaves[:width])

    text = lambda data: base64.b64encode(data).decode()  # noqa: E731  (one line)
    cases = []
    for size in range(1, 21):
        for index in range(size):
            path = inclusion_path(index, size, tile)
            cases.append([index, size, text(leaves[index]), text(root_of(leaves[:size])), [*map(text, path)]])
    good = "for (const [i, n, leaf, root, path] of values[0]) await r.verifyInclusion(BigInt(i), BigInt(n), r.fromBase64(leaf), r.fromBase64(root), path.map(r.fromBase64)); return values[0].length"
    assert await verifier.run(good, cases) == 210
    bad = """let missed = 0; for (const [i, n, leaf, root, path] of values[0]) for (const [j, cut] of [[i + 1, path], [i, path.slice(1)], [i, [...path, leaf]], [i, path.length > 1 ? path.toReversed() : [leaf]]]) {
      if (path.length > 1 && cut.join() === path.join() && i === j) continue;
      try { await r.verifyInclusion(BigInt(j), BigInt(n), r.fromBase64(leaf), r.fromBase64(root), cut.map(r.fromBase64)); if (n > 1 && cut.length) missed += 1; } catch { } } return missed"""
    assert await verifier.run(bad, cases) == 0
    pairs = []
    for new in range(1, 21):
        for old in range(new + 1):
            path = consistency_path(old, new, tile)
            pairs.append([old, new, text(root_of(leaves[:old])), text(root_of(leaves[:new])), [*map(text, path)]])
    good = "for (const [a, b, x, y, path] of values[0]) await r.verifyConsistency({size: BigInt(a), root: r.fromBase64(x)}, {size: BigInt(b), root: r.fromBase64(y)}, path.map(r.fromBase64)); return values[0].length"
    assert await verifier.run(good, pairs) == 230
    bad = """let missed = 0; for (const [a, b, x, y, path] of values[0]) for (const cut of [path.slice(1), [...path, x]]) { if (cut.length === path.length) continue;
      try { await r.verifyConsistency({size: BigInt(a), root: r.fromBase64(x)}, {size: BigInt(b), root: r.fromBase64(y)}, cut.map(r.fromBase64)); missed += 1; } catch { } } return missed"""
    assert await verifier.run(bad, pairs) == 0


async def follow(verifier, bundle: Bundle) -> str:
    """What the chain check says of a bundle's only chain; "" when nothing is missing."""
    return await verifier.refusal(
        """const done = await r.whole(values[0]); const bad = done.steps.steps.find((one) => one.state !== "ok");
        if (bad) throw new Error(bad.detail ?? bad.why);
        const { subject, newest, links } = done.chains[0]; const chain = new r.Chain(subject, newest);
        for (const link of links) await chain.add(link, r.proves(done)); chain.finish();""",
        bundle.to_json(),
    )


async def chain_bundle(proofs: LedgerProofs, *anchors: int) -> Bundle:
    chain = proofs.chain(subject("Anna"))
    bundle = await bundle_for(proofs, [], anchors or [chain.links[0].log_index])
    bundle.chains.append(chain)
    return bundle


async def test_a_hidden_entry_shows_as_a_gap(verifier, ledger, story):
    """AS9: whichever entry the operator hides, but for the newest, which only a remembered state can miss."""
    proofs = LedgerProofs(ledger)
    assert await follow(verifier, await chain_bundle(proofs)) == ""
    links = [link.log_index for link in proofs.chain(subject("Anna")).links]
    assert len(links) >= 5
    for index in links[1:]:
        proofs.hidden = {index}
        assert "missing" in await follow(verifier, await chain_bundle(proofs, *links)), index
    proofs.hidden = {links[-1], links[-2]}
    assert "2 entries are missing" in await follow(verifier, await chain_bundle(proofs))


async def test_a_chain_of_forged_links(verifier, ledger, story):
    proofs = LedgerProofs(ledger)
    bundle = await chain_bundle(proofs)
    chain = bundle.chains[0]
    chain.links[2].salt = bytes(32)  # no more the entry that the next one names
    assert "is not the one that the next names" in await follow(verifier, bundle)
    bundle = await chain_bundle(proofs)
    bundle.chains[0].newest_seq += 1
    assert "missing" in await follow(verifier, bundle)
    # The newest is not proven: nothing of the chain is.
    assert await follow(verifier, await chain_bundle(proofs, story["granted"])) == "incomplete"
    bundle = await chain_bundle(proofs)
    bundle.chains[0].links.sort(key=lambda link: link.log_index)
    assert await follow(verifier, bundle) != ""
