// Without this the page still shows everything; with it, the table sorts, filters and chooses columns, and the address
// says how, so that a link or the back button brings the same view back.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.scores");
  if (!table) return;
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const tools = document.querySelector(".tools");
  const find = tools.querySelector("input[type=search]");
  const show = tools.querySelector("select.roles");
  const menu = tools.querySelector("details.columns");
  const heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells);
  const spans = all("th[scope=colgroup]", table.tHead);
  const bodies = Array.from(table.tBodies).map((body) => ({ body, rows: all("tr:not(.group)", body) }));

  // The address after "#": sort=KEY.up|KEY.down, find=WORDS, show=methods|controls, hide=KEY,KEY.
  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const [, key, order] = (given.get("sort") || "").match(/^(.*)\.(up|down)$/) || [];
    return {
      sort: heads.some((head) => head.dataset.key === key) ? { key, order } : null,
      find: given.get("find") || "",
      show: ["methods", "controls"].includes(given.get("show")) ? given.get("show") : "all",
      hide: (given.get("hide") || "").split(",").filter((key) => heads.some((head) => head.dataset.key === key)),
    };
  }

  function address(state) {
    const parts = new URLSearchParams();
    if (state.sort) parts.set("sort", `${state.sort.key}.${state.sort.order}`);
    if (state.find) parts.set("find", state.find);
    if (state.show !== "all") parts.set("show", state.show);
    if (state.hide.length) parts.set("hide", state.hide.join(","));
    // An empty address would scroll to the top.
    return `#${parts.size ? parts : "show=all"}`;
  }

  function value(cell) {
    // What is shown with all its figures has no copy of itself.
    const found = parseFloat(cell.dataset.v || cell.textContent.replace("≈", ""));
    return Number.isNaN(found) ? null : found;
  }

  function compare(index, text, sign) {
    return (one, other) => {
      const [a, b] = [one.cells[index], other.cells[index]];
      if (text) return sign * a.textContent.trim().localeCompare(b.textContent.trim(), "en");
      const [x, y] = [value(a), value(b)];
      // What has no value stands last, whichever way the column is sorted.
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x - y);
    };
  }

  function sort(state) {
    heads.forEach((head) => {
      const own = state.sort && head.dataset.key === state.sort.key;
      if (head.dataset.key) head.setAttribute("aria-sort", own ? `${state.sort.order === "up" ? "a" : "de"}scending` : "none");
    });
    const head = state.sort && heads.find((other) => other.dataset.key === state.sort.key);
    for (const { body, rows } of bodies) {
      const order = head ? compare(head.cellIndex, head.dataset.better === "text", state.sort.order === "up" ? 1 : -1) : null;
      body.append(...(order ? [...rows].sort(order) : rows));
    }
  }

  function filter(state) {
    const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    let [shown, count] = [0, 0];
    for (const { body, rows } of bodies) {
      const group = body.dataset.group || "methods";
      for (const row of rows) {
        const text = row.cells[0].textContent.toLowerCase();
        row.hidden = !((state.show === "all" || state.show === group) && words.every((word) => text.includes(word)));
        shown += row.hidden ? 0 : 1;
        count += 1;
      }
      body.hidden = rows.every((row) => row.hidden);
    }
    const sorted = state.sort ? `, sorted by ${state.sort.key}, ${state.sort.order === "up" ? "smallest" : "largest"} first` : "";
    tools.querySelector(".count").textContent = `${shown} of ${count} rows`;
    tools.querySelector(".told").textContent = sorted;
  }

  function choose(state) {
    const hidden = heads.map((head) => state.hide.includes(head.dataset.key));
    heads.forEach((head, i) => { head.hidden = hidden[i]; });
    for (const { rows } of bodies) rows.forEach((row) => hidden.forEach((gone, i) => { row.cells[i].hidden = gone; }));
    spans.forEach((span) => {
      const left = heads.filter((head) => head.dataset.span === span.dataset.span && !head.hidden).length;
      span.hidden = left === 0;
      span.colSpan = Math.max(left, 1);
    });
    all("tr.group td", table).forEach((cell) => { cell.colSpan = heads.filter((head) => !head.hidden).length - 1; });
  }

  function apply() {
    // A link to a place on this page is not a view.
    if (location.hash.length > 1 && !location.hash.includes("=")) return;
    const state = read();
    if (find.value !== state.find) find.value = state.find;
    if (show) show.value = state.show;
    all("input", menu).forEach((box) => { box.checked = !state.hide.includes(box.value); });
    choose(state);
    sort(state);
    filter(state);
  }

  function go(change, quietly = false) {
    const to = address({ ...read(), ...change });
    if (to === location.hash) return;
    if (quietly) location.replace(to);
    else location.hash = to;
    apply();
  }

  heads.filter((head) => head.dataset.key).forEach((head) => {
    // The first click puts the better side on top.
    const first = head.dataset.better === "up" ? "down" : "up";
    head.querySelector("button").addEventListener("click", () => {
      const sorted = read().sort;
      const order = sorted && sorted.key === head.dataset.key && sorted.order === first ? (first === "up" ? "down" : "up") : first;
      go({ sort: { key: head.dataset.key, order } });
    });
  });
  find.addEventListener("input", () => go({ find: find.value }, true));
  if (show) show.addEventListener("change", () => go({ show: show.value }));
  menu.addEventListener("change", () => {
    go({ hide: all("input:not(:checked)", menu).map((box) => box.value) });
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
    const link = event.target.closest("a[href^='#']");
    const target = link && document.getElementById(link.hash.slice(1));
    if (!target) return;
    // The address holds the view; a jump on the page leaves it as it is.
    event.preventDefault();
    target.tabIndex = -1;
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  });
  window.addEventListener("hashchange", apply);
  tools.hidden = false;
  apply();
});
