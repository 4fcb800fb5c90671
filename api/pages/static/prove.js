// The check of a credit's proof in its page: the file comes from the API, the verifier is that of /verify, and what
// it says is shown. The four values to trust are the reader's; they begin as the registry says them.
const form = document.getElementById("prove");
const verdict = document.getElementById("verdict");
const part = (name) => verdict.querySelector(`.${name}`);
const { lang } = document.documentElement;
let words = (sentence) => sentence; // becomes the verifier's, which knows the reader's language
let spelled = (sentence) => [sentence]; // and so does this, which sets names apart
const own = new Set(); // fields that the reader put something into; an honest registry's values are the same
let asked = 0; // of several checks under way, or of other values since, the last counts

function list(name, rows) {
  part(name).replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    item.append(...spelled(words(row)));
    return item;
  }));
}

function show(state, outcome, checks, unproven) {
  verdict.dataset.state = state;
  part("outcome").textContent = outcome;
  list("checks", checks.map(([, text]) => text));
  part("limits").hidden = !unproven.length;
  part("limits").textContent = verdict.dataset.unproven;
  list("unproven", unproven);
}

// Why there is no file, in the reader's language: the problem comes as a page.
function problem(page) {
  const found = new DOMParser().parseFromString(page, "text/html");
  const texts = (selector) => [...found.querySelectorAll(`.problem ${selector}`)].map((item) => item.textContent.trim());
  const [why] = [texts(".quiet"), texts(".lead")].filter((lines) => lines.length);
  return why && `${why.join(" ")} (${texts("code")[0]})`;
}

async function bundle() {
  const { down, cannot } = verdict.dataset;
  const answer = await fetch(form.dataset.bundle, { headers: { accept: "application/json, text/html" } })
    .catch(() => { throw new Error(down); });
  if (answer.ok) return answer.text();
  throw new Error(problem(await answer.text()) ?? `${cannot} (${answer.status})`);
}

async function check() {
  const { working, valid, yours, theirs, invalid, unavailable } = verdict.dataset;
  const mine = ++asked;
  const said = (...verdict_) => { if (mine === asked) show(...verdict_); };
  show("working", working, [], []);
  const fields = [...form.querySelectorAll("input")];
  const value = Object.fromEntries(fields.map((input) => [input.name, input.value.trim()]));
  const bytes = (name) => value[name].slice(2).toLowerCase();
  let source, verifier;
  try {
    [source, verifier] = await Promise.all([bundle(), import(form.dataset.verifier).catch(() => { throw new Error(verdict.dataset.down); })]);
    words = (sentence) => verifier.inWords(sentence, lang);
    spelled = verifier.spelled;
  } catch (error) {
    return said("invalid", `${unavailable} ${error.message}`, [], []);
  }
  try {
    const { checks, notProven } = verifier.verify(source, {
      blockHash: bytes("block_hash"), address: bytes("address"), codeHash: bytes("code_hash"),
      chainId: BigInt(value.chain_id),
    });
    const all = fields.every((input) => own.has(input));
    said("valid", `${valid} ${all ? yours : theirs}`, checks, notProven);
  } catch (error) {
    if (!(error instanceof verifier.ProofError)) throw error;
    said("invalid", `${invalid} ${words(error.message)}`, error.done, []);
  }
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
form?.addEventListener("input", ({ target }) => {
  own.add(target);
  asked += 1;
  show("", "", [], []); // a verdict is about the values that were checked
});
