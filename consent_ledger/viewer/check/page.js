// On a page of the residents' site: checks what the page carries, compares its words, and says so in its place.
import { NotYet, Wrong, fromBase64, hex } from "./bytes.js";
import { canRemember, forget, remember, remembered } from "./memory.js";
import { Chain } from "./record.js";
import { account, element, report } from "./report.js";
import { Steps, check, checkLeaf, compareHeads, proves } from "./verify.js";

const language = document.documentElement.lang === "en" ? "en" : "nl";
const words = PROGRAM.words[language];

// What the page says of entries, in reading order: the text of every element marked with a fact.
export function shownFacts(root = document) {
  return [...root.querySelectorAll("[data-fact]")].map((one) => ({
    index: one.closest("[data-entry]")?.dataset.entry ?? "",
    fact: one.dataset.fact,
    text: one.textContent,
  }));
}

async function get(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new NotYet("unreachable");
  return answer.text();
}

const consistencyFrom = (address) => async (older, newer) =>
  JSON.parse(await get(`${address}?van=${older}&tot=${newer}`)).hashes;

async function checkPage(place) {
  const byServer = place.querySelector(".notice p")?.textContent;
  const done = await check(document.getElementById("bewijs").textContent, PROGRAM, { language, shown: shownFacts() });
  await sinceLastTime(place, done.steps, done.heads.at(-1));
  report(place, done.steps, words, language);
  if (done.steps.verdict === "later") place.append(element("p", byServer));
  showAccount(place, done);
}

// Compare with what this device remembers of the log, and offer to remember what it is now.
async function sinceLastTime(place, steps, head, chains = {}) {
  const before = remembered();
  if (before && head && steps.verdict !== "wrong")
    await steps.take("since", () => compareHeads(before, head, consistencyFrom(place.dataset.consistency)));
  if (before && steps.verdict === "ok" && head.size >= BigInt(before.size)) remember(head, chains);
  offerMemory(steps.verdict === "ok", before, () => remember(head, chains));
}

function offerMemory(allowed, before, keep) {
  const offer = document.getElementById("onthouden");
  if (!offer || !canRemember() || !(allowed || before)) return;
  const button = element("button", words[before ? "memory.forget" : "memory.keep"], { type: "button", class: "button plain" });
  button.addEventListener("click", () => {
    before ? forget() : keep();
    const said = element("p", words[before ? "memory.forgotten" : "memory.kept"], { role: "status", tabindex: "-1" });
    offer.replaceChildren(said);
    said.focus();
  });
  const row = element("div", "", { class: "buttons" });
  row.append(button);
  offer.replaceChildren(element("p", words["memory.text"]), row);
}

function showAccount(place, done) {
  if (!done.story || !done.entries.length) return;
  const more = element("details");
  more.append(element("summary", words.account), element("p", words["account.text"]), ...account(done, words, language));
  place.append(more);
}

// Check whole chains, part by part, newest first; the addresses of their first parts are in data-chains.
async function checkChains(place) {
  const steps = new Steps();
  const found = { n: 0, erased: 0, ends: {}, head: null, signed: [] };
  await steps.take("chain", async () => {
    for (const first of JSON.parse(place.dataset.chains)) await followChain(first, found, steps, place);
    return { n: found.n };
  });
  steps.steps.unshift(...found.signed);
  if (found.erased) await steps.take("erased", () => ({ n: found.erased }));
  await sinceLastTime(place, steps, found.head, found.ends);
  report(place, steps, words, language);
}

async function followChain(first, found, steps, place) {
  let chain = null;
  for (let address = first; address; ) {
    const text = await get(address);
    const part = await check(text, PROGRAM, { language });
    const failed = part.steps.steps.find((step) => step.state === "wrong") ?? part.steps.steps.find((step) => step.state !== "ok");
    if (failed) throw failed.state === "later" ? new NotYet(failed.why) : new Wrong(failed.detail);
    const [{ subject, newest, links }] = part.chains;
    chain ??= new Chain(subject, newest, remembered()?.chains?.[hex(subject)]);
    for (const link of links) await chain.add(link, proves(part));
    found.n += links.length;
    found.head = part.heads.at(-1);
    found.signed = part.steps.steps.filter((step) => ["signature", "witnesses"].includes(step.name));
    place.querySelector(".notice p")?.replaceChildren(`${words.working} ${found.n}`);
    address = JSON.parse(text).next;
  }
  chain.finish();
  found.erased += chain.erased;
  if (chain.newest) found.ends[hex(chain.subject)] = chain.newest;
}

// A proof file that somebody chooses on the public page; it never leaves the device.
function checkFiles(input, place) {
  input.addEventListener("change", async () => {
    if (!input.files.length) return;
    const done = await check(await input.files[0].text(), PROGRAM, { language });
    report(place, done.steps, words, language);
    showAccount(place, done);
    place.focus();
  });
}

// The code of a paper proof opens this page with `#<index>.<base64url of the leaf hash>`.
async function checkCode(place) {
  const code = /^#(\d{1,15})\.([\w-]{43})$/.exec(location.hash);
  if (!code) return;
  const leaf = fromBase64(`${code[2].replaceAll("-", "+").replaceAll("_", "/")}=`);
  const steps = new Steps();
  let found = steps;
  await steps.take("place", async () => {
    found = await checkLeaf(BigInt(code[1]), leaf, JSON.parse(await get(`${place.dataset.place}?nr=${code[1]}`)), PROGRAM);
    return { n: 1 };
  });
  report(place, found, words, language);
  place.focus();
}

const place = document.getElementById("controle-uitslag");
const input = document.getElementById("bewijsbestand");
if (input) {
  checkFiles(input, place);
  await checkCode(place);
  window.addEventListener("hashchange", () => checkCode(place));
} else if (place?.dataset.chains) await checkChains(place);
else if (place) await checkPage(place);
