"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, inside = document) => Array.from(inside.querySelectorAll(selector));
  const query = byId("query"), state = byId("state"), action = byId("action"), form = byId("controls");
  const rows = all("tbody tr[data-image]"), table = document.querySelector("table"), events = all(".event"), timelines = all(".timeline"), chips = all("[data-chip]");
  const textOf = new Map();
  for (const node of [...rows, ...events, ...all(".event li"), ...all(".event .head, .event .reason, .event .overrides")]) {
    const titles = all("[title]", node).map((it) => it.title).join(" ");
    textOf.set(node, (node.textContent + " " + titles).toLowerCase());
  }

  const matches = (node, terms) => terms.every((term) => textOf.get(node).includes(term));

  const needs = {
    "": () => true,
    attention: (cell) => ["unrecorded", "interrupted", "late", "broken"].includes(cell.dataset.state),
    held: (cell) => "held" in cell.dataset,
  };

  function shownEnvironments() {
    return new Set(chips.filter((it) => it.getAttribute("aria-pressed") === "true").map((it) => it.dataset.chip));
  }

  function filterMatrix(terms, shown) {
    table.classList.toggle("flat", terms.length > 0 || state.value !== "" || isPast());
    for (const cell of all("table [data-env], .flow [data-env]")) cell.hidden = !shown.has(cell.dataset.env);
    for (const row of rows) {
      const cells = all("td", row).filter((cell) => !cell.hidden);
      row.hidden = !(matches(row, terms) && (state.value === "" || cells.some(needs[state.value])));
    }
  }

  function filterEvent(event, terms) {
    const head = all(".head, .reason, .overrides", event).map((it) => textOf.get(it)).join(" ");
    const steps = all("li", event);
    let any = false;
    for (const step of steps) {
      const text = textOf.get(step);
      step.hidden = !terms.every((term) => head.includes(term) || text.includes(term));
      any ||= !step.hidden;
    }
    event.hidden = !any || !(action.value === "" || action.value === event.dataset.action);
  }

  function filterTimelines(terms, shown) {
    const narrowed = terms.length > 0 || action.value !== "";
    for (const timeline of timelines) {
      timeline.hidden = !shown.has(timeline.dataset.env);
      const inside = all(".event", timeline);
      for (const event of inside) filterEvent(event, terms);
      for (const fold of all("details", timeline)) {
        if (narrowed && !fold.open) { fold.open = true; fold.dataset.opened = ""; }
        if (!narrowed && "opened" in fold.dataset) { fold.open = false; delete fold.dataset.opened; }
      }
      const none = timeline.querySelector("[data-none]");
      none.hidden = inside.length === 0 || inside.some((event) => !event.hidden);
    }
  }

  function apply() {
    const terms = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = shownEnvironments();
    filterMatrix(terms, shown);
    filterTimelines(terms, shown);
    const images = rows.filter((row) => !row.hidden).length;
    const told = events.filter((event) => !event.hidden && !event.closest(".timeline").hidden).length;
    byId("found").hidden = terms.length === 0 && state.value === "" && action.value === "" && shown.size === chips.length;
    byId("found").textContent = `${images} of ${rows.length} images, ${told} of ${events.length} events`;
  }

  // What ran at a moment: each cell has its own story, and the slider stops wherever one of them goes on.
  const when = byId("when"), stories = all("td[data-env]", table).filter((cell) => cell.closest("[data-image]")).map((cell) => [cell, JSON.parse(cell.dataset.past || "[]")]);
  const moments = Array.from(new Set(stories.flatMap(([, story]) => story.map(([begin]) => begin)))).filter((begin) => begin > 0).sort((a, b) => a - b);
  const isPast = () => Number(when.value) < moments.length;

  function showPast() {
    const moment = moments[Number(when.value)];
    table.classList.toggle("past", isPast());
    const told = isPast() ? new Date(moment * 1000).toISOString().slice(0, 16).replace("T", " ") + "Z" : "now";
    byId("when-told").textContent = told;
    when.setAttribute("aria-valuetext", told);
    for (const [cell, story] of isPast() ? stories : []) {
      let shown = cell.querySelector(".then");
      if (!shown) { shown = document.createElement("span"); shown.className = "then"; cell.append(shown); }
      const ran = story.filter(([begin]) => begin <= moment).pop();
      shown.textContent = (ran && ran[1]) || "–";
    }
    apply();
  }

  function press(chip, on) { chip.setAttribute("aria-pressed", String(on)); }

  query.addEventListener("input", apply);
  state.addEventListener("change", apply);
  action.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => { for (const chip of chips) press(chip, true); setTimeout(() => { when.value = when.max; showPast(); }); });
  when.max = String(moments.length);
  when.value = when.max;
  when.addEventListener("input", showPast);
  byId("past").hidden = moments.length < 2;
  for (const chip of chips) {
    chip.addEventListener("click", () => { press(chip, chip.getAttribute("aria-pressed") !== "true"); apply(); });
  }
  for (const link of all("a[data-follow]")) {
    link.addEventListener("click", () => {
      query.value = link.dataset.follow;
      apply();
      document.querySelector(link.hash).focus({ preventScroll: true });
    });
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      query.focus();
      query.select();
    }
    if (event.key === "Escape" && event.target === query) { query.value = ""; apply(); }
  });

  const theme = byId("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.title = `Switch to ${theme.textContent.toLowerCase()}`; };
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; label(); });
  system.addEventListener("change", label);

  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const time of all("time")) {
    const moment = new Date(time.dateTime), seconds = (moment - Date.now()) / 1000;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) || units[3];
    time.title = `${relative.format(Math.trunc(seconds / size), unit)}; here ${moment.toLocaleString()}`;
  }

  theme.hidden = form.hidden = false;
  label();
  apply();
})();
