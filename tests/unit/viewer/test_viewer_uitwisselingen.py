"""What was shared and blocked: the list, and each exchange with its why."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from consent_ledger.errors import RegieError
from consent_ledger.v1 import batch_pb2
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.pages.uitwisselingen import PAGE
from tests.support.ledger import ARREARS, CITY, INCOME, OTHER_SUPPLIER, TAX_OFFICE, scope
from tests.support.pages import Page
from tests.support.portal import ANNA, BEN
from tests.support.portal_story import StoryPortal, lively
from tests.support.viewer import log_in, post, told

LIST = "/nl/mijn/uitwisselingen"
R15 = (
    *("Wie stuurt het", "Wie ontvangt het", "Wat wordt er gedeeld", "Wat niet", "Waarom"),
    *("Sinds wanneer", "Tot wanneer", "Wat gebeurt er daarna", "Hoe stopt u het"),
)


@pytest.fixture
async def portal() -> StoryPortal:
    return await lively()


def _entry(client: TestClient, portal: StoryPortal, name: str, language: str = "nl") -> Page:
    return Page(client.get(f"/{language}/mijn/uitwisselingen/{portal.story[name]}").text)


def _entries(page: Page) -> list[int]:
    paths = [link.rpartition("/") for link in page.links() if link.startswith(f"{LIST}/")]
    return [int(number) for _, _, number in paths]


def test_the_list_is_newest_first(client: TestClient, portal: StoryPortal):
    page = Page(client.get(LIST).text)
    found = _entries(page)
    assert found == sorted(found, reverse=True)
    assert set(found) == {portal.story[name] for name in EXCHANGES}
    assert "Tegengehouden. U koos 'nee' op" in page.words


EXCHANGES = ("no_consent", "refused", "prohibited", "shared", "self_first", "too_much", "asked", "waiting")


def test_filters_choose_an_organisation_and_a_purpose(client: TestClient, portal: StoryPortal):
    assert _entries(Page(client.get(LIST, params={"wie": OTHER_SUPPLIER}).text)) == [portal.story["self_first"]]
    assert _entries(Page(client.get(LIST, params={"doel": INCOME}).text)) == [portal.story["asked"]]
    none = Page(client.get(LIST, params={"wie": OTHER_SUPPLIER, "doel": INCOME}).text)
    assert "Hier is niets te vinden." in none.words
    assert len(_entries(Page(client.get(LIST, params={"wie": "nobody", "doel": "nothing"}).text))) == len(EXCHANGES)


def test_pages_follow_the_index_and_lose_nothing(client: TestClient, portal: StoryPortal):
    sent = [portal.send(ANNA).log_index for _ in range(2 * PAGE)]
    seen: list[int] = []
    path = LIST
    for _ in range(10):
        page = Page(client.get(path).text)
        seen += _entries(page)
        older = [link for link in page.links() if "voor=" in link]
        if not older:
            break
        (path,) = older
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == len(sent) + len(EXCHANGES)


@pytest.mark.parametrize("number", [0, 300])
def test_a_page_asks_as_much_with_many_entries_as_with_few(client: TestClient, portal: StoryPortal, number: int):
    for _ in range(number):
        portal.send(ANNA)
    client.get(LIST)
    portal.calls.clear()
    client.get(LIST)
    assert sorted(portal.calls) == ["record", "registry"]


@pytest.mark.parametrize("number", [0, 300])
def test_one_exchange_asks_as_much_with_many_entries_as_with_few(client: TestClient, portal: StoryPortal, number: int):
    for _ in range(number):
        portal.send(ANNA)
    _entry(client, portal, "no_consent")
    portal.calls.clear()
    _entry(client, portal, "no_consent")
    assert sorted(portal.calls) == ["entry", *["inclusion"] * 3, "proof", "public_entries", "registry"]


def test_what_was_shared_is_told_in_the_order_of_r15(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "shared")
    at = [page.words.index(heading) for heading in R15]
    assert at == sorted(at)
    assert "Niet gedeeld: het bedrag, uw verbruik en uw betaalgegevens." in page.words
    assert "10 oktober 2025" in page.words
    assert "10 januari 2026" in page.words


def test_why_it_is_allowed_shows_rule_choice_and_the_words_of_then(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "shared")
    assert "Waarom mag dit?" in page.words
    assert "Wet gemeentelijke schuldhulpverlening" in page.words
    assert "U koos op 10 oktober 2025: ja." in page.words
    assert "U kiest: ja. Lampje Energie B.V. mag aan Gemeente Zonneveen laten weten dat" in page.words
    assert f"/nl/mijn/toestemmingen/{portal.story['shared_by']}" in page.links()


def test_the_residents_copy_is_there_and_looking_at_it_is_recorded_first(client: TestClient, portal: StoryPortal):
    client.get(LIST)  # which records that the pages are looked at
    portal.calls.clear()
    page = _entry(client, portal, "shared")
    assert "1 tot 2 maanden" in page.words
    assert portal.calls.index("view") < portal.calls.index("copy")


@pytest.mark.parametrize("reason", ["COPY_GONE", "GATEWAY_UNAVAILABLE"])
def test_without_a_copy_all_else_is_there(client: TestClient, portal: StoryPortal, reason: str):
    async def gone(*_: object) -> None:
        raise RegieError(reason, "not now")

    portal.copy = gone  # type: ignore[assignment, method-assign]
    page = _entry(client, portal, "shared")
    assert "De kopie is er niet" in page.words
    assert "Waarom mag dit?" in page.words


@pytest.mark.parametrize("name", ["no_consent", "refused", "prohibited", "too_much"])
def test_a_block_is_shown_as_protection(client: TestClient, portal: StoryPortal, name: str):
    portal.calls.clear()
    page = _entry(client, portal, name)
    assert "Tegengehouden" in page.words
    assert "Waarom is dit tegengehouden?" in page.words
    assert "Gemeente Zonneveen weet hier niets van." in page.words
    assert "copy" not in portal.calls
    assert not any("notice storing" in tag.attributes.get("class", "") for tag in page.tags)


def test_a_prohibited_purpose_says_why_and_offers_no_choice(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "prohibited")
    assert "Ook uw toestemming kan dat niet veranderen." in page.words
    assert "om u te controleren of te straffen" in page.words
    assert not any("toestemmingen/nieuw" in link for link in page.links())


def test_a_guess_about_somebody_is_told_as_one(client: TestClient, portal: StoryPortal):
    portal.happens("guessed", basis=batch_pb2.BASIS_INFERRED)
    assert "Dit was geraden over u." in _entry(client, portal, "guessed").words


def test_what_one_can_change_leads_to_the_choice(client: TestClient, portal: StoryPortal):
    links = _entry(client, portal, "no_consent").links()
    assert any(f"toestemmingen/nieuw?doel={ARREARS}" in link for link in links)


def test_an_outcome_that_was_otherwise_than_chosen_is_shown(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "shared")
    assert "Gemeente Zonneveen deed u een aanbod: Gesprek over betalen in delen. Dat ging per telefoon." in page.words
    assert "Dit ging anders dan u koos" in page.words
    assert "U koos niet voor telefoon." in page.words


def test_an_outcome_that_is_missing_is_told(client: TestClient, portal: StoryPortal):
    sent = portal.happens("unreported", severities=[4])
    portal.collect(sent)
    assert "moet uiterlijk op" in _entry(client, portal, "unreported").words
    portal.clock.forward(days=31)
    log_in(client)
    assert "liet niet op tijd weten wat er is gedaan" in _entry(client, portal, "unreported").words


async def test_what_was_stopped_at_delivery_says_so(client: TestClient, portal: StoryPortal):
    sent = portal.happens("late", severities=[4])
    await portal.choose("stop", pb.Withdraw(scope=scope()))
    portal.collect(sent, acknowledge=False)
    page = _entry(client, portal, "late")
    assert "Alsnog tegengehouden, voordat het werd afgeleverd." in page.words
    assert "Waarom is dit tegengehouden?" in page.words


def test_a_question_leads_to_its_answer(client: TestClient, portal: StoryPortal):
    assert "/nl/mijn/vragen" in _entry(client, portal, "asked").links()
    portal.clock.forward(days=15)
    log_in(client)
    late = _entry(client, portal, "asked")
    assert "Niet gedeeld" in late.words
    assert "/nl/mijn/vragen" not in late.links()


async def test_who_did_not_answer_did_not_say_no(client: TestClient, portal: StoryPortal):
    """The same reason for the ledger, and for the resident something else."""
    portal.clock.forward(days=15)
    again = portal.happens("again", TAX_OFFICE, purpose=INCOME)
    log_in(client)
    page = _entry(client, portal, "again")
    assert "Er kwam geen antwoord van u, tot 11 december 2025. Geen reactie is nee." in page.words
    assert "U koos 'nee'" not in page.words
    record = (await portal.entry(await portal.rows(ANNA), again.log_index)).exchange
    assert record.text.en == "Blocked. You did not answer, until 11 December 2025. No answer means no."
    assert "U koos 'nee' op" in _entry(client, portal, "refused").words


def test_every_word_that_is_marked_is_of_a_proven_entry(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "shared")
    entries = {int(entry) for entry, _, _ in page.facts}
    assert entries == {portal.story["shared"], portal.story["shared_by"]}
    assert {"sender", "recipient", "item", "not_shared", "purpose", "sentence", "legal_ground", "wording"} <= {
        fact for _, fact, _ in page.facts
    }


@pytest.mark.parametrize("number", ["0", "999999", "-1", "1e3", "007", "abc", "99999999999999999999"])
def test_what_is_no_entry_of_ones_own_is_not_found(client: TestClient, number: str):
    answer = client.get(f"{LIST}/{number}")
    assert answer.status_code == 404
    assert "Deze pagina bestaat niet, of is niet van u." in answer.text


def test_the_entry_of_somebody_else_is_as_one_that_does_not_exist(client: TestClient, portal: StoryPortal):
    other = portal.send(BEN).log_index
    texts = {told(client.get(f"{LIST}/{number}")).replace(str(number), "N") for number in (other, other + 1000)}
    assert len(texts) == 1


def test_the_number_of_a_choice_leads_to_the_choice(client: TestClient, portal: StoryPortal):
    answer = client.get(f"{LIST}/{portal.story['shared_by']}")
    assert answer.headers["location"] == f"/nl/mijn/toestemmingen/{portal.story['shared_by']}"


def test_the_number_of_what_followed_leads_to_the_exchange(client: TestClient, portal: StoryPortal):
    answer = client.get(f"{LIST}/{portal.story['shared'] + 1}")
    assert answer.headers["location"] == f"{LIST}/{portal.story['shared']}"


async def test_what_a_pause_stopped_names_the_pause(client: TestClient, portal: StoryPortal):
    post(client, "/nl/mijn/pauze", {"doe": "pauze"})
    portal.happens("paused", severities=[4])
    page = _entry(client, portal, "paused")
    assert "U zette alles op pauze op" in page.words
    assert "Niemand mag iets over u delen totdat u de pauze stopt." in page.words, "the words that were shown"


def test_the_english_page_says_the_same(client: TestClient, portal: StoryPortal):
    page = _entry(client, portal, "shared", "en")
    assert "Shared. You agreed to this on 10 October 2025." in page.words
    assert "You chose this yourself on this site." in page.words
    assert "U kiest: ja." in page.words, "the words of then, in the language of then"


def test_an_organisation_card_adds_up_what_happened(client: TestClient, portal: StoryPortal):
    page = Page(client.get(f"/nl/mijn/organisaties/{CITY}").text)
    assert "Dit is een organisatie van de overheid." in page.words
    assert "Aan Gemeente Zonneveen" in page.words
    assert "Alles wat hierboven niet staat, houden wij tegen." in page.words
    assert "Zoeken naar fraude" in page.words, "what is never allowed"
    company = Page(client.get(f"/nl/mijn/organisaties/{OTHER_SUPPLIER}").text)
    assert "Dit is een bedrijf." in company.words
    assert client.get("/nl/mijn/organisaties/00000099000000009999").status_code == 404


def test_everything_with_one_organisation_stops_with_one_button(client: TestClient, portal: StoryPortal):
    path = f"/nl/mijn/organisaties/{TAX_OFFICE}"
    assert post(client, path, {"doe": "stop"}).headers["location"] == path
    page = Page(client.get(path).text)
    assert "U stopte 1 keuze." in page.words
    assert "doet in geen enkele keuze mee" in page.words
    assert post(client, path, {"doe": "iets"}).status_code == 404


def test_a_card_asks_the_ledger_twice(client: TestClient, portal: StoryPortal):
    client.get(f"/nl/mijn/organisaties/{CITY}")
    portal.calls.clear()
    client.get(f"/nl/mijn/organisaties/{CITY}")
    assert sorted(portal.calls) == ["record", "registry", "summary"]
