"use strict";
// Everything that comes from a run is put into the page as text (textContent), never as markup.

const PAGE = 100;
const STATUSES = ["right", "wrong", "truncated", "empty", "filtered", "unscored", "unverified", "failed"];
const FIELDS = ["status", "file", "family", "cause", "pairs", "disagree", "q"];
const LETTERS = ["A", "B"];

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const counted = (n, noun) => `${number.format(n)} ${noun}${n === 1 ? "" : "s"}`;

let state = null; // what the server says of the runs
let wanted = { filters: {}, sample: null }; // what the address says
let shown = { start: 0, n: 0, at: null, items: [], done: true }; // the part of the list that is shown
let opened = null; // the sample that is shown, as the server gave it
let asked = 0; // the number of the last request for a list: older replies are late
let askedSample = 0;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function get(path, parameters) {
  const query = new URLSearchParams(parameters);
  const reply = await fetch(`${path}?${query}`, { credentials: "same-origin" });
  const isJson = (reply.headers.get("Content-Type") || "").startsWith("application/json");
  const body = isJson ? await reply.json() : { error: (await reply.text()).trim() };
  if (!reply.ok) throw new Error(body.error || `status ${reply.status}`);
  return body;
}

// The address: filters and sample, so that each sample has a link

function readAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  const filters = {};
  for (const name of FIELDS) if (query.get(name)) filters[name] = query.get(name);
  const place = /^(.+):(\d+):(\d+)$/.exec(query.get("sample") || "");
  wanted = { filters, sample: place && { ref: place[1], row: Number(place[2]), repeat: Number(place[3]) } };
}

function address(filters, sample) {
  const query = new URLSearchParams(filters);
  if (sample) query.set("sample", `${sample.ref}:${sample.row}:${sample.repeat}`);
  return `#${query}`;
}

function go(filters, sample, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address(filters, sample));
  const before = JSON.stringify(wanted.filters);
  readAddress();
  if (JSON.stringify(wanted.filters) !== before) showFilters(), load(0);
  else showList();
  loadSample();
}

const keyOf = (sample) => ({ sample_file: sample.ref, sample_row: sample.row, sample_repeat: sample.repeat });
const same = (a, b) => Boolean(a && b && a.ref === b.ref && a.row === b.row && a.repeat === b.repeat);

// The runs

async function watch() {
  for (;;) {
    let wait = 2000;
    try {
      const before = state;
      state = await get("/api/state", {});
      showState();
      const run = state.runs[0];
      const isNew = !before || before.runs[0].n !== run.n || before.runs[0].complete !== run.complete
        || JSON.stringify(before.runs[0].status) !== JSON.stringify(run.status)
        || (before.pairing && before.pairing.ready) !== (state.pairing && state.pairing.ready);
      if (isNew || !shown.done) await load(shown.start, { quiet: true, at: before ? null : wanted.sample });
      if (!before || (isNew && !opened) || (state.pairing && state.pairing.ready && !before.pairing.ready)) await loadSample();
      wait = run.complete && shown.done ? 3000 : run.n || run.error ? 500 : 50;
    } catch (error) {
      $("reading").textContent = `the viewer does not answer: ${error.message}`;
      $("reading").className = "error";
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function showState() {
  const isPair = state.runs.length > 1;
  $("runs").replaceChildren(...state.runs.map((run, i) =>
    element("span", { title: run.path }, isPair ? element("b", {}, LETTERS[i]) : "", run.name)));
  document.title = `${state.runs.map((run) => run.name).join(" | ")} – bootcamp view`;
  const lines = [];
  let failed = false;
  state.runs.forEach((run, i) => {
    const name = isPair ? `${LETTERS[i]}: ` : "";
    const [done, total] = run.progress;
    if (run.error) { lines.push(`${name}${run.error}`); failed = true; }
    else if (!run.complete) lines.push(`${name}reading the details: ${number.format(run.n)} samples so far, ${total ? Math.floor(100 * done / total) : 0} %`);
    else lines.push(name + counted(run.n, "sample") + (run.n_planned && run.n_planned > run.n ? ` of ${number.format(run.n_planned)}` : ""));
  });
  if (state.pairing && state.pairing.error) { lines.push(state.pairing.error); failed = true; }
  else if (state.pairing) lines.push(state.pairing.ready ? `${counted(state.pairing.n, "question")} in both` : "pairing the questions");
  $("reading").textContent = lines.join("; ");
  $("reading").className = failed ? "error" : "";
  const run = state.runs[0];
  $("statuses").replaceChildren(...["", ...STATUSES.filter((name) => run.status[name] || name === wanted.filters.status)].map((name) => {
    const n = name ? run.status[name] || 0 : run.n;
    return element("button", {
      type: "button", "aria-pressed": String((wanted.filters.status || "") === name), "data-status": name,
      onclick: () => setFilter("status", name),
    }, element("span", { class: `status ${name}` }, name || "all"), ` ${number.format(n)}`);
  }));
  fill($("file"), "all test files", run.files.map((file) => [file.ref, `${file.name} (${number.format(file.n)})`]), "file");
  fill($("family"), "all families", run.families.map((family) => [family.ref, `${family.name} (${number.format(family.n)})`]), "family");
  fill($("cause"), "any", Object.entries(state.causes), "cause");
  $("pairs-label").hidden = !isPair;
  $("disagree-label").hidden = !run.repeated;
}

function fill(select, all, options, name) {
  const content = JSON.stringify(options);
  if (select.dataset.content !== content) {
    select.dataset.content = content;
    select.replaceChildren(element("option", { value: "" }, all),
      ...options.map(([value, text]) => element("option", { value }, text)));
  }
  select.value = wanted.filters[name] || "";
}

function showFilters() {
  for (const name of ["file", "family", "cause", "pairs"]) $(name).value = wanted.filters[name] || "";
  $("disagree").checked = wanted.filters.disagree === "1";
  if (document.activeElement !== $("q")) $("q").value = wanted.filters.q || "";
  for (const button of $("statuses").children) {
    button.setAttribute("aria-pressed", String((wanted.filters.status || "") === button.dataset.status));
  }
}

function setFilter(name, value) {
  const filters = { ...wanted.filters };
  if (value) filters[name] = value; else delete filters[name];
  go(filters, null);
}

// The list

async function load(start, { quiet = false, at = null } = {}) {
  const mine = ++asked;
  try {
    const page = await get("/api/samples", { ...wanted.filters, start: Math.max(0, start), n: PAGE, ...(at ? keyOf(at) : {}) });
    if (mine !== asked) return;
    shown = page;
    showList({ toTop: !quiet });
  } catch (error) {
    if (mine !== asked) return;
    shown = { start: 0, n: 0, at: null, items: [], done: true };
    showList();
    $("found").textContent = error.message;
    $("found").className = "error";
  }
}

function showList({ toTop = false } = {}) {
  const focused = document.activeElement && document.activeElement.closest("#samples") ? document.activeElement.dataset.key : null;
  $("samples").replaceChildren(...shown.items.map((item) => element("li", {}, element("button", {
    type: "button", "aria-current": String(same(item, wanted.sample)), "data-key": `${item.ref}:${item.row}:${item.repeat}`,
    onclick: () => go(wanted.filters, item),
  },
  element("span", { class: "place" }, `${item.file}:${item.row}${state && state.runs[0].repeated ? `:${item.repeat}` : ""}`),
  element("span", { class: `status ${item.status}` }, item.other ? `A ${item.status}` : item.status),
  element("span", { class: "more" }, [item.data_source, item.failure, item.output_len === null ? null : `${number.format(item.output_len)} tokens`].filter(Boolean).join(" · ")),
  item.other ? element("span", { class: `status ${item.other.status}` }, `B ${item.other.status}`)
    : element("span", { class: "more" }, item.score === null ? "" : `score ${Number(item.score.toPrecision(4))}`)))));
  if (focused) for (const button of $("samples").querySelectorAll("button")) if (button.dataset.key === focused) button.focus({ preventScroll: true });
  if (toTop) $("samples").scrollTop = 0;
  const text = [counted(shown.n, "sample")];
  if (shown.error) text.push(shown.error);
  if (!shown.done && shown.pairing) text.push("pairing the questions");
  else if (!shown.done && shown.audited && !(shown.audited[1] && shown.audited[0] >= shown.audited[1])) text.push(`looking for causes: ${number.format(shown.audited[0])} of ${number.format(shown.audited[1])} answers`);
  else if (!shown.done) text.push(`searched ${number.format(shown.looked_at)} of ${number.format(shown.of)}`);
  $("found").textContent = text.join("; ");
  $("found").className = shown.error ? "error" : "";
  const bar = $("searching");
  bar.hidden = shown.done;
  const [done, of] = shown.audited || [shown.looked_at, shown.of];
  if (!shown.done && of) { bar.max = of; bar.value = done; } else bar.removeAttribute("value");
  const last = Math.min(shown.start + PAGE, shown.n);
  $("page").textContent = shown.n ? `${number.format(shown.start + 1)} to ${number.format(last)} of ${number.format(shown.n)}` : "";
  $("earlier").disabled = shown.start === 0;
  $("later").disabled = last >= shown.n;
  const current = $("samples").querySelector('[aria-current="true"]');
  if (current && matchMedia("(min-width: 761px)").matches) current.scrollIntoView({ block: "nearest" });
}

async function step(by) {
  const here = shown.items.findIndex((item) => same(item, wanted.sample));
  let target = here < 0 ? (by > 0 ? 0 : -1) : here + by;
  if (here >= 0 && target < 0 && shown.start > 0) { await load(shown.start - PAGE); target = shown.items.length - 1; }
  else if (target >= shown.items.length && shown.start + PAGE < shown.n) { await load(shown.start + PAGE); target = 0; }
  const item = shown.items[target];
  if (item) go(wanted.filters, item, { replace: wanted.sample !== null });
}

// The sample

async function loadSample({ whole = false } = {}) {
  const mine = ++askedSample;
  document.body.classList.toggle("open", wanted.sample !== null);
  if (wanted.sample === null) {
    opened = null;
    $("sample").replaceChildren(element("p", { class: "nothing" }, "Choose a sample, or press j."));
    return;
  }
  try {
    const found = await get("/api/sample", { ...keyOf(wanted.sample), ...(whole ? { whole: "1" } : {}) });
    if (mine !== askedSample) return;
    opened = found;
    showSample();
    $("sample").scrollTop = 0;
    if (document.body.classList.contains("open") && matchMedia("(max-width: 760px)").matches) scrollTo(0, 0);
  } catch (error) {
    if (mine !== askedSample) return;
    opened = null;
    $("sample").replaceChildren(tools(), element("p", { class: "error" }, error.message));
  }
}

function tools() {
  return element("div", { class: "tools" },
    element("button", { type: "button", class: "back", onclick: () => go(wanted.filters, null) }, "Back to the list"),
    element("button", { type: "button", id: "previous", onclick: () => step(-1) }, "Previous"),
    element("button", { type: "button", id: "next", onclick: () => step(1) }, "Next"),
    element("button", { type: "button", id: "copy", onclick: copy }, "Copy as JSON"),
    element("a", { href: address({}, wanted.sample), id: "link" }, "Link"));
}

function showSample() {
  const sample = opened.sample;
  const title = `${sample.file}:${sample.row}${sample.repeats.length ? `:${sample.repeat}` : ""}`;
  const both = opened.other !== undefined;
  const parts = [
    element("div", { class: "head" }, element("h2", {}, title), tools()),
    facts([sample.data_source, sample.family, `id ${sample.id}`]),
  ];
  if (sample.repeats.length) parts.push(element("div", { class: "repeats" }, "Repeats", ...sample.repeats.map((item) =>
    element("button", { type: "button", "aria-pressed": String(item.repeat === sample.repeat), onclick: () => go(wanted.filters, item) },
      `${item.repeat} `, element("span", { class: `status ${item.status}` }, item.status)))));
  if (sample.status !== "failed") parts.push(element("section", { class: "prompt" }, element("h3", {}, "Prompt"), text(sample.prompt)));
  const hasOneTruth = both && opened.other && sample.status !== "failed" && opened.other.ground_truth.text === sample.ground_truth.text;
  if (hasOneTruth) parts.push(truth(sample));
  if (both) {
    parts.push(element("div", { class: "sides" },
      element("section", {}, element("h2", {}, `A: ${state.runs[0].name}`), ...answer(sample, !hasOneTruth)),
      element("section", {}, element("h2", {}, `B: ${state.runs[1].name}`),
        ...(opened.other ? answer(opened.other, !hasOneTruth) : [element("p", { class: "nothing" }, "This run has no sample of this question.")]))));
  } else parts.push(...answer(sample));
  $("sample").replaceChildren(...parts);
}

const truth = (sample) => element("section", { class: "value" }, element("h3", {}, "Ground truth"), text(sample.ground_truth));

function answer(sample, hasTruth = true) {
  const parts = [element("p", { class: "facts" },
    element("span", { class: `status ${sample.status}` }, sample.status), ...spans([
      sample.score === null ? null : `score ${Number(sample.score.toPrecision(6))}`,
      sample.failure,
      sample.cause && `audit: ${state.causes[sample.cause]}`,
      sample.finish_reason && `finish_reason ${sample.finish_reason}`,
      sample.output_len === null ? null : `${number.format(sample.output_len)} ${sample.output_len_estimated ? "pieces or words" : "tokens"}`,
      sample.latency_s && `${sample.latency_s} s`,
      sample.attempts && counted(sample.attempts, "attempt"),
      sample.model,
    ]))];
  if (sample.failure_message) parts.push(element("p", { class: "error" }, sample.failure_message));
  if (sample.is_half) parts.push(element("p", { class: "error" }, "run_eval.py did not write this record to its end."));
  if (sample.status === "failed") return [...parts, element("p", { class: "nothing" }, "No answer.")];
  const thinking = sample.parts.filter((part) => part.thinking);
  const rest = sample.parts.filter((part) => !part.thinking);
  if (thinking.length) {
    const n = thinking.reduce((sum, part) => sum + part.n, 0);
    const holds = thinking.some((part) => part.answer) ? ", with the answer block" : "";
    parts.push(element("details", { class: "thinking", open: rest.every((part) => part.n === 0) && Boolean(holds) },
      element("summary", {}, `Thinking (${counted(n, "character")}${holds})`), block(thinking)));
  }
  parts.push(element("h3", {}, "Output"), rest.length ? block(rest) : element("p", { class: "nothing" }, thinking.length ? "Nothing after the thinking." : "Empty."));
  const extracted = element("section", { class: "value" }, element("h3", {}, "Extracted"),
    sample.extracted_output ? text(sample.extracted_output) : element("p", { class: "nothing" }, "Nothing."));
  parts.push(hasTruth ? element("div", { class: "sides" }, extracted, truth(sample)) : extracted);
  if (sample.boards.length) parts.push(element("h3", {}, "Board"), element("div", { class: "boards" }, ...sample.boards.map(board)));
  return parts;
}

const spans = (facts) => facts.filter((fact) => fact !== null && fact !== undefined && fact !== "" && fact !== 0).map((fact) => element("span", {}, String(fact)));
const facts = (texts) => element("p", { class: "facts" }, ...spans(texts));
const text = (part) => block([{ ...part, answer: false }]);

function block(parts) {
  return element("pre", {}, ...parts.map((part) => element(part.answer ? "mark" : "span", { class: part.answer ? "answer" : null }, part.text,
    ...(part.rest === undefined ? [] : [
      element("button", { type: "button", class: "cut", onclick: () => loadSample({ whole: true }) }, `… show all ${counted(part.n, "character")}`), part.rest]))));
}

function board(drawn) {
  const isEdge = (i, n) => drawn.box && (i + 1) % drawn.box === 0 && i + 1 < n;
  return element("div", { class: "board" }, element("table", {}, element("caption", {}, drawn.title), element("tbody", {},
    ...drawn.rows.map((row, r) => element("tr", { class: isEdge(r, drawn.rows.length) ? "edge" : null },
      ...row.map((cell, c) => element("td", { class: [...cell.marks, isEdge(c, row.length) ? "edge" : ""].join(" ").trim() || null }, cell.text)))))));
}

async function copy() {
  const button = $("copy");
  if (!button || !wanted.sample) return;
  try {
    const reply = await fetch(`/api/record?${new URLSearchParams(keyOf(wanted.sample))}`, { credentials: "same-origin" });
    if (!reply.ok) throw new Error("the sample is not there any more");
    await navigator.clipboard.writeText(await reply.text());
    button.textContent = "Copied";
  } catch (error) {
    button.textContent = `Not copied: ${error.message}`;
  }
  setTimeout(() => { button.textContent = "Copy as JSON"; }, 2500);
}

// What the reader does

for (const name of ["file", "family", "cause", "pairs"]) $(name).addEventListener("change", (event) => setFilter(name, event.target.value));
$("disagree").addEventListener("change", (event) => setFilter("disagree", event.target.checked ? "1" : ""));
let typing = 0;
$("q").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => setFilter("q", event.target.value), 350);
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("earlier").addEventListener("click", () => load(shown.start - PAGE));
$("later").addEventListener("click", () => load(shown.start + PAGE));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input[type=search], select, textarea");
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (wanted.sample) go(wanted.filters, null);
    return;
  }
  if (isTyping) return;
  const actions = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    "/": () => $("q").focus(), c: copy,
    t: () => { for (const fold of document.querySelectorAll("details.thinking")) fold.open = !fold.open; },
  };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

function follow() {
  const before = JSON.stringify(wanted.filters);
  readAddress();
  showFilters();
  if (JSON.stringify(wanted.filters) !== before) load(0, { at: wanted.sample }); else showList();
  loadSample();
}
addEventListener("popstate", follow);

history.replaceState(null, "", `/${location.hash}`); // the token is in a cookie now
readAddress();
showFilters();
$("q").value = wanted.filters.q || "";
watch();
