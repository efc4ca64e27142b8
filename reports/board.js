"use strict";
// Without this script the page still shows everything; with it, tables sort, filter and choose columns.
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  function value(cell) {
    const text = cell.dataset.value || "";
    return text === "" ? null : Number(text);
  }

  function compare(a, b, kind, sign) {
    if (kind === "text") return sign * a.dataset.value.localeCompare(b.dataset.value, "en");
    const [x, y] = [value(a), value(b)];
    // What has no value stands last, whichever way the column is sorted.
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  }

  function sort(table, head) {
    const index = head.cellIndex;
    const kind = head.querySelector("button").dataset.better;
    // The first click puts the better side on top.
    const first = kind === "up" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    all("th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = all("tr:not(.group)", body);
      rows.sort((a, b) => compare(a.cells[index], b.cells[index], kind, sign));
      rows.forEach((row) => body.append(row));
    }
  }

  function filter(section) {
    const words = section.querySelector("input[type=search]").value.toLowerCase().split(/\s+/).filter(Boolean);
    const role = section.querySelector("select.roles").value;
    const rows = all("table.scores tbody tr:not(.group)", section);
    let shown = 0;
    for (const row of rows) {
      const text = row.dataset.text.toLowerCase();
      const method = row.classList.contains("method");
      const wanted = role === "all" || (role === "method") === method;
      row.hidden = !(wanted && words.every((word) => text.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    for (const body of section.querySelector("table.scores").tBodies) {
      body.hidden = all("tr:not(.group)", body).every((row) => row.hidden);
    }
    section.querySelector(".count").textContent = `${shown} of ${rows.length} rows`;
  }

  function chooseColumns(section) {
    const hidden = new Set(all(".columns input:not(:checked)", section).map((box) => box.value));
    all("table.scores [data-column]", section).forEach((cell) => {
      cell.hidden = hidden.has(cell.dataset.column);
    });
    const rest = section.querySelector("thead tr").cells;
    const visible = Array.from(rest).filter((cell) => !cell.hidden).length;
    all("tr.group td", section).forEach((cell) => { cell.colSpan = visible - 1; });
  }

  function equip(section) {
    const table = section.querySelector("table.scores");
    section.querySelector(".tools").hidden = false;
    all("th[aria-sort]", table).forEach((head) => {
      head.querySelector("button").addEventListener("click", () => sort(table, head));
    });
    section.querySelector("input[type=search]").addEventListener("input", () => filter(section));
    section.querySelector("select.roles").addEventListener("change", () => filter(section));
    const menu = section.querySelector("details.columns");
    menu.addEventListener("change", () => chooseColumns(section));
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    filter(section);
  }

  const sections = all("section.table");
  const chooser = document.getElementById("chooser");

  function showTable(id) {
    sections.forEach((section) => { section.hidden = id !== "" && section.id !== id; });
    if (chooser) chooser.value = id;
  }

  function follow() {
    const id = location.hash.slice(1);
    const target = id && document.getElementById(id);
    if (!target) return false;
    const section = target.closest("section.table");
    if (section && chooser) showTable(section.id);
    if (target.matches("details")) target.open = true;
    target.scrollIntoView();
    return Boolean(section);
  }

  sections.forEach(equip);
  if (chooser) {
    chooser.closest(".chooser").hidden = false;
    chooser.addEventListener("change", () => showTable(chooser.value));
    showTable(sections[0].id);
  }
  window.addEventListener("hashchange", follow);
  // A link to a row that is already in the address opens it again.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) follow();
  });
  follow();
})();
