"use strict";
// Lists all latents, a page of them at a time, and shows one of them. Text is only ever set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const one = (selector, root = document) => root.querySelector(selector);
  const PAGE = 25;
  const state = { layer: 0, key: null, order: "descending", rows: [], start: 0, current: null };
  const view = one("#feature");
  const heads = Array.from(document.querySelectorAll(".features th[data-key]"));
  const keys = heads.map((head) => head.dataset.key);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function figures(value, count = 3) {
    if (value === null || value === undefined) return "—";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-4 || size >= 1e6) return value.toExponential(count - 1);
    return Number(value.toPrecision(count)).toString();
  }

  const visible = (text) => text.replace(/ /g, "·").replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "∅";
  function item([kind, text]) {
    // "before x": the token before the peak is x.
    const said = { before: "after", after: "before", class: "any" }[kind];
    const shown = kind === "bigram" ? text.split("|").map(visible).join("") : visible(text);
    return make("span", { class: "item" }, said ? make("span", { class: "kind" }, `${said} `) : null, shown);
  }

  const layer = () => data.layers[state.layer];
  // Columns of a judge and of ratings are there only where there was a judge, or a rating.
  const at = (column, index) => (column ? column[index] : null);

  function words(index) {
    const here = layer();
    const label = (here.label[index] || []).map(([kind, text]) => `${kind} ${text}`).join(" ");
    return `${index} ${label} ${at(here.words, index) || ""} ${here.tokens[index].map((t) => data.tokens[t]).join(" ")}`.toLowerCase();
  }

  const wanted = {
    alive: (here, i) => here.fires[i] > 0,
    full: (here, i) => here.details[i] !== undefined,
    labelled: (here, i) => here.label[i] !== null,
    covered: (here, i) => here.lower[i] !== null && here.lower[i] > 0.7,
    judged: (here, i) => (here.asked || []).includes(i),
    worded: (here, i) => (at(here.judgeLower, i) ?? 0) > 0.7,
    rated: (here, i) => at(here.rating, i) !== null,
    passed: (here, i) => here.passed[i],
    dead: (here, i) => here.fires[i] === 0,
  };

  function value(index, key) {
    if (key === "index") return index;
    if (key === "label") return layer().label[index] ? layer().label[index].map(([, text]) => text.trim()).join(" ") : null;
    return layer()[key][index];
  }

  function compare(a, b) {
    const [x, y] = [value(a, state.key), value(b, state.key)];
    // What has no value stands last, whichever way the column is sorted.
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const sign = state.order === "ascending" ? 1 : -1;
    return sign * (typeof x === "string" ? x.localeCompare(y, "en") : x - y) || a - b;
  }

  function choose() {
    const here = layer();
    const asked = one("#find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const test = wanted[one("#show").value];
    const number = asked.length === 1 && /^\d+$/.test(asked[0]) ? Number(asked[0]) : null;
    const rows = [];
    for (let i = 0; i < here.fires.length; i += 1) {
      if (!test(here, i)) continue;
      const text = asked.length ? words(i) : "";
      if (asked.every((word) => text.includes(word))) rows.push(i);
    }
    rows.sort(compare);
    // A number that was typed whole is most likely the latent of that number.
    if (number !== null && rows.includes(number)) rows.unshift(...rows.splice(rows.indexOf(number), 1));
    state.rows = rows;
    state.start = 0;
    one(".count").textContent = `${rows.length} of ${here.fires.length} latents`;
    draw();
  }

  function cell(index, key) {
    const here = layer();
    if (key === "index") {
      const full = here.details[index] !== undefined;
      const link = make("a", { href: `#f-${here.layer}-${index}`, class: full ? null : "plainly" }, String(index));
      return make("th", { scope: "row" }, link);
    }
    if (key === "label") {
      const label = here.label[index];
      const box = make("td", { class: "words" });
      if (label === null) box.append(make("span", { class: "hint" }, "too few windows"));
      else if (label.length === 0) box.append(make("span", { class: "hint" }, "nothing stands out"));
      else label.forEach((entry) => box.append(item(entry), " "));
      if (at(here.words, index)) box.append(make("span", { class: "said" }, here.words[index]));
      return box;
    }
    const lower = { detection: here.lower, judge: here.judgeLower }[key];
    const held = (at(lower, index) ?? 0) > 0.7;
    const text = figures(here[key][index]);
    return make("td", { class: held ? "covered" : null, title: held ? "lower bound above 0.7" : null }, text);
  }

  function draw() {
    const body = one(".features tbody");
    const rows = state.rows.slice(state.start, state.start + PAGE);
    body.replaceChildren(...rows.map((index) => {
      const row = make("tr", { class: index === state.current ? "current" : null }, ...keys.map((key) => cell(index, key)));
      if (index === state.current) one("a", row).setAttribute("aria-current", "true");
      return row;
    }));
    const total = state.rows.length;
    one(".where").textContent = total ? `${state.start + 1}–${Math.min(state.start + PAGE, total)} of ${total}` : "none";
    one("#earlier").disabled = state.start === 0;
    one("#later").disabled = state.start + PAGE >= total;
  }

  function sortBy(head) {
    const second = { ascending: "descending", descending: "ascending" };
    const first = head.dataset.first;
    state.order = head.getAttribute("aria-sort") === first ? second[first] : first;
    state.key = head.dataset.key;
    heads.forEach((other) => other.setAttribute("aria-sort", other === head ? state.order : "none"));
    choose();
  }

  function level(z, most) {
    if (z === null || z === 0 || most === 0) return null;
    const step = Math.min(7, Math.max(1, Math.ceil((7 * Math.abs(z)) / most)));
    return `${z < 0 ? "n" : "h"}${step}`;
  }

  function context(held, most, number, readout) {
    const spans = held.tokens.map((token, i) => {
      const text = data.tokens[token].replace(/\n/g, "⏎\n");
      const classes = [level(held.z[i], most), i === held.peak ? "most" : null].filter(Boolean).join(" ");
      return make("span", { class: classes || null, "data-i": i, title: figures(held.z[i], 4) }, text);
    });
    const name = `${held.kind === "top" ? "Top" : "Drawn"} context ${number}, document ${held.document}, largest ${figures(held.z[held.peak])}`;
    const box = make("p", { class: "context", tabindex: "0", role: "group", "aria-label": name, "aria-describedby": "keys" });
    if (held.before) box.append(make("span", { class: "edge", "aria-hidden": "true" }, "…"));
    box.append(...spans);
    if (held.after) box.append(make("span", { class: "edge", "aria-hidden": "true" }, "…"));
    let at = held.peak;
    const say = (i) => {
      at = i;
      spans.forEach((span, j) => span.classList.toggle("here", i === j));
      const code = make("code", {}, visible(data.tokens[held.tokens[i]]));
      readout.replaceChildren(code, ` ${figures(held.z[i], 4)}, token ${i + 1} of ${spans.length}, document ${held.document}`);
    };
    box.addEventListener("mouseover", (event) => { if (event.target.dataset.i) say(Number(event.target.dataset.i)); });
    box.addEventListener("focus", () => say(at));
    box.addEventListener("blur", () => spans.forEach((span) => span.classList.remove("here")));
    box.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: spans.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      say(Math.min(Math.max(to, 0), spans.length - 1));
    });
    return make("li", {}, make("span", { class: "peak" }, figures(held.z[held.peak])), box);
  }

  function numbers(pairs) {
    const list = make("dl", { class: "numbers" });
    pairs.filter(Boolean).forEach(([name, text, note]) => {
      list.append(make("div", {}, make("dt", {}, name), make("dd", {}, text, note ? make("small", {}, note) : null)));
    });
    return list;
  }

  function labelPart(held) {
    const parts = [make("h4", {}, "Lexical label")];
    if (!held.label) return [...parts, make("p", { class: "hint" }, `None: ${held.unlabelled}.`)];
    const { items, detection, fuzzing, permuted, ceiling } = held.label;
    const list = make("ul", { class: "items", "aria-label": "Items with their z-scores" });
    items.forEach((entry) => list.append(make("li", {}, item(entry), make("span", { class: "weight" }, figures(entry[2])))));
    if (items.length) parts.push(list);
    else parts.push(make("p", { class: "hint" }, "Nothing stands out where it peaks."));
    parts.push(numbers([
      ["Detection", figures(detection.balanced), `lower bound ${figures(detection.lower)}`],
      ["AUROC", figures(detection.auroc), `F1 ${figures(detection.f1)}`],
      ["Fuzzing", figures(fuzzing.balanced), `AUROC ${figures(fuzzing.auroc)}`],
      ["Another's label", figures(permuted), "control, expect 0.5"],
      ["All words", figures(ceiling), "classifier on the window"],
    ]));
    return parts;
  }

  function judgePart(held) {
    if (!held.judged) return [];
    const { label, reason, detection, fuzzing, permuted } = held.judged;
    const title = make("h4", {}, "Label in words");
    if (label === null) return [title, make("p", { class: "hint" }, `None: ${reason}.`)];
    const unread = (test) => (test.unparsed ? `, ${(100 * test.unparsed).toFixed(0)} % unread` : "");
    return [title, make("p", { class: "sentence" }, label), numbers([
      ["Judge's detection", figures(detection.balanced), `lower bound ${figures(detection.lower)}${unread(detection)}`],
      ["F1", figures(detection.f1)],
      ["Judge's fuzzing", figures(fuzzing.balanced), `F1 ${figures(fuzzing.f1)}${unread(fuzzing)}`],
      ["Another's label", permuted ? figures(permuted.balanced) : figures(null), "control, expect 0.5"],
    ])];
  }

  function ratingPart(held) {
    if (!held.ratings) return [];
    const mean = held.ratings.reduce((sum, rating) => sum + rating.value, 0) / held.ratings.length;
    const count = held.ratings.length === 1 ? "1 rating" : `${held.ratings.length} ratings`;
    const list = make("ul", { class: "ratings" });
    held.ratings.forEach(({ value, rater, comment }) => {
      list.append(make("li", {}, make("b", {}, figures(value)), rater ? ` ${rater}` : null, comment ? make("q", {}, comment) : null));
    });
    return [make("h4", {}, "Ratings by people"), numbers([["Mean rating", figures(mean), count]]), list];
  }

  function reasoningPart(held) {
    const r = held.reasoning;
    if (!r) return [];
    const verdict = r.passed === null ? null : r.passed ? "above its null" : "not above its null";
    return [make("h4", {}, "Reasoning"), numbers([
      ["ReasonScore", figures(r.reasonscore), verdict],
      ["p (shifts)", figures(r.p), `adjusted ${figures(r.p_max)}`],
      ["rs_ratio", figures(r.rs_ratio)],
      ["rs_topk", figures(r.rs_topk)],
      ["Injection d", figures(r.injection_d), r.injection_class || "not tested"],
    ])];
  }

  function evidencePart(held) {
    const list = make("ul", { class: "evidence" });
    held.evidence.forEach(([token, share]) => {
      const text = visible(data.tokens[token]);
      const bar = make("progress", { max: "1", value: String(share), "aria-label": `share of ${text}` });
      list.append(make("li", {}, make("code", { title: text }, text), bar, make("span", {}, `${(100 * share).toFixed(1)} %`)));
    });
    const facts = `Ten largest ${figures(held.conc)}, entropy ${figures(held.entropy)}, token regression ${figures(held.sim)}.`;
    return [make("h4", {}, "Evidence tokens"), make("p", { class: "hint" }, facts), list];
  }

  function neighbourPart(held, index) {
    const here = layer();
    const list = make("ul", { class: "near" });
    held.neighbours.forEach(([other, cosine]) => {
      list.append(make("li", {}, make("a", { href: `#f-${here.layer}-${other}` }, String(other)), make("span", {}, ` ${figures(cosine)}`)));
    });
    const parts = [make("h4", {}, "Nearest decoder directions (cosine)"), list];
    const member = [["d", here.directionCluster[index], "direction cluster"], ["a", here.firingCluster[index], "co-activation cluster"]];
    const line = make("p", { class: "hint" });
    member.forEach(([kind, number, name], i) => {
      const id = `c-${here.layer}-${kind}-${number}`;
      const text = number === null ? `no ${name}` : `${name} ${number + 1}`;
      if (i) line.append(", ");
      line.append(number !== null && document.getElementById(id) ? make("a", { href: `#${id}` }, text) : text);
    });
    parts.push(make("h4", {}, "Clusters"), line);
    return parts;
  }

  function contextPart(held, index) {
    const readout = make("output", { class: "readout", "aria-live": "polite" }, "Point at a token for its activation.");
    const keyHelp = make("p", { class: "hint", id: "keys" }, "Arrow keys move from token to token.");
    const parts = [];
    const most = layer().max[index];
    for (const [kind, title] of [["top", "Strongest contexts"], ["drawn", "Contexts drawn at random"]]) {
      const some = held.contexts.filter((found) => found.kind === kind);
      if (!some.length) continue;
      const list = make("ol", { class: "contexts" }, ...some.map((found, i) => context(found, most, i + 1, readout)));
      parts.push(make("h4", {}, title), kind === "top" ? keyHelp : null, list);
    }
    return parts.length ? [...parts.filter(Boolean), readout] : [];
  }

  function steps(index) {
    const place = state.rows.indexOf(index);
    const button = (text, to) => {
      const other = place < 0 ? undefined : state.rows[to];
      const element = make("button", { type: "button", disabled: other === undefined }, text);
      element.addEventListener("click", () => { location.hash = `f-${layer().layer}-${other}`; });
      return element;
    };
    return make("div", { class: "steps" }, button("Previous", place - 1), button("Next", place + 1));
  }

  function show(index, focus) {
    const here = layer();
    state.current = index;
    const held = here.details[index];
    const title = make("h3", { id: "feature-title", tabindex: "-1" }, `Latent ${index}`, data.layers.length > 1 ? `, block ${here.layer}` : "");
    const facts = numbers([
      ["Density", figures(here.density[index]), `${here.fires[index]} tokens`],
      held ? ["Mean where it fires", figures(held.mean)] : null,
      ["Largest", figures(here.max[index])],
    ]);
    const rest = held
      ? [...labelPart(held), ...judgePart(held), ...ratingPart(held), ...reasoningPart(held), ...contextPart(held, index), ...evidencePart(held), ...neighbourPart(held, index)]
      : [make("p", { class: "hint" }, here.fires[index]
        ? "Its contexts are in the data file beside this page; the latents of greatest interest are shown here in full."
        : "It never fires on these documents.")];
    view.replaceChildren(make("div", { class: "top" }, title, steps(index)), facts, ...rest);
    const place = state.rows.indexOf(index);
    if (place >= 0) state.start = Math.floor(place / PAGE) * PAGE;
    draw();
    if (focus) {
      title.focus({ preventScroll: true });
      // Beside the list it is in sight already; below the list it has to be brought there.
      const box = view.getBoundingClientRect();
      if (box.top < 0 || box.top > innerHeight * 0.6) view.scrollIntoView();
    }
  }

  function setLayer(number) {
    state.layer = number;
    state.current = null;
    const chooser = one("#layer");
    if (chooser) chooser.value = String(number);
    choose();
  }

  function follow(focus) {
    const found = /^#f-(\d+)-(\d+)$/.exec(location.hash);
    if (found) {
      const number = data.layers.findIndex((held) => held.layer === Number(found[1]));
      const index = Number(found[2]);
      if (number < 0 || index >= data.layers[number].fires.length) return false;
      if (number !== state.layer) setLayer(number);
      show(index, focus);
      return true;
    }
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.matches("details")) {
      target.open = true;
      target.scrollIntoView();
    }
    return false;
  }

  function open() {
    if (follow(false)) return;
    const first = state.rows.find((index) => layer().details[index] !== undefined);
    if (first !== undefined) show(first, false);
    else view.append(make("h3", { id: "feature-title" }, "No latent is shown in full"));
  }

  one(".browser").hidden = false;
  heads.forEach((head) => one("button", head).addEventListener("click", () => sortBy(head)));
  one("#find").addEventListener("input", choose);
  one("#show").addEventListener("change", choose);
  one("#earlier").addEventListener("click", () => { state.start -= PAGE; draw(); });
  one("#later").addEventListener("click", () => { state.start += PAGE; draw(); });
  if (one("#layer")) {
    one(".chooser").hidden = false;
    one("#layer").addEventListener("change", (event) => { setLayer(Number(event.target.value)); open(); });
  }
  addEventListener("hashchange", () => follow(true));
  sortBy(heads.find((head) => head.dataset.key === (keys.includes("reasonscore") ? "reasonscore" : "detection")));
  open();
})();
