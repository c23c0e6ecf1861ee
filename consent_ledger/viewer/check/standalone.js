// The file that people keep: the same program without any server. It opens a proof file and shows what it proves.
import { account, element, report } from "./report.js";
import { check } from "./verify.js";

function texts(language) {
  const words = PROGRAM.words[language];
  document.documentElement.lang = language;
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = words[one.dataset.text];
  document.title = words["file.title"];
  return words;
}

function keysShown(list) {
  const { log_keys: logKeys, quorum } = PROGRAM.trust;
  for (const key of [...logKeys, ...quorum.witnesses.flat()]) list.append(element("li", key, { class: "code" }));
}

function start() {
  let language = "nl";
  let words = texts(language);
  let text = null;
  const place = document.getElementById("controle-uitslag");
  const show = async () => {
    if (text === null) return;
    const done = await check(text, PROGRAM, { language });
    report(place, done.steps, words, language);
    if (done.story) place.append(element("h2", words.account), ...account(done, words, language));
    place.focus();
  };
  document.getElementById("bewijsbestand").addEventListener("change", async ({ target }) => {
    text = target.files.length ? await target.files[0].text() : null;
    await show();
  });
  for (const button of document.querySelectorAll("button[lang]"))
    button.addEventListener("click", async () => {
      language = button.lang;
      words = texts(language);
      await show();
    });
  keysShown(document.getElementById("sleutels"));
}

start();
