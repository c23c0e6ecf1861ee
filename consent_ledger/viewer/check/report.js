// Says what was found, in words: one answer, the steps that led to it, and what an entry says by its proof alone.
import { fill, grouped } from "./facts.js";

const FACTS = "kind number day sender recipient purpose item sentence mode from until via offer channel when legal_ground not_shared next_step".split(" ");
const NOTICE = { ok: "ok", later: "let_op", wrong: "storing" };

export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A text with its values; of one with singular and plural the number `n` chooses.
export function say(words, key, values = {}, language = "nl") {
  const text = words[key];
  const form = Array.isArray(text) ? text[values.n === 1 || values.n === 1n ? 0 : 1] : text;
  const shown = Object.entries(values).map(([name, value]) => [
    name,
    typeof value === "number" || typeof value === "bigint" ? grouped(value, language) : value,
  ]);
  return fill(form ?? key, Object.fromEntries(shown));
}

// Put the answer and its steps into a place on the page, instead of what is there.
export function report(place, steps, words, language) {
  const box = element("div", "", { class: `notice ${NOTICE[steps.verdict]}`, "data-verdict": steps.verdict });
  box.append(element("p", words[`verdict.${steps.verdict}`], { class: "big-number verdict" }));
  const first = steps.steps.find((step) => step.state === steps.verdict);
  box.append(element("p", steps.verdict === "later" ? words[`why.${first.why}`] : words[`verdict.${steps.verdict}.text`]));
  if (steps.verdict === "wrong") box.append(element("p", words["verdict.wrong.do"]));
  const list = element("ul", "", { class: "check-steps" });
  for (const step of steps.steps) if (step.name !== "file" || step.state !== "ok") list.append(stepItem(step, words, language));
  box.append(list);
  place.replaceChildren(box);
}

function stepItem(step, words, language) {
  const item = element("li", "", { "data-step": step.name, "data-state": step.state });
  item.append(element("strong", `${words[`state.${step.state}`]}: `));
  const nobody = step.name === "witnesses" && step.values?.needed === 0;
  if (step.state === "ok") item.append(say(words, `step.${step.name}.${nobody ? "none" : "ok"}`, step.values, language));
  else item.append(words[`step.${step.name}`]);
  if (step.state === "later") item.append(` ${words[`why.${step.why}`]}`);
  if (step.detail) {
    const more = element("details");
    more.append(element("summary", words.detail), element("p", step.detail, { class: "code", lang: "en" }));
    item.append(more);
  }
  return item;
}

// What the proven bytes of each entry say, in the program's own words: nothing of it comes from the page.
export function account(done, words, language) {
  const parts = [];
  for (const entry of done.entries) {
    let facts;
    try {
      facts = done.story.facts(entry, language, words);
    } catch {
      facts = { number: grouped(entry.index, language) }; // of a newer version: its place is all that can be said
    }
    const list = element("dl", "", { class: "facts" });
    for (const name of FACTS.filter((one) => facts[one]?.length)) {
      const row = element("div");
      row.append(element("dt", words[`fact.${name}`]), element("dd", [facts[name]].flat().join("; ")));
      list.append(row);
    }
    parts.push(list);
  }
  return parts;
}
