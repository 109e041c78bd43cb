// Asks the API for figures while the page is looked at, and draws them. Whatever else changes, the
// server writes: the script takes the page's new text in place of the old.
"use strict";
(() => {
  const EVERY = 2000, KEPT = 60, SVG = "http://www.w3.org/2000/svg";
  const counts = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const decimals = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const figure = value => value >= 99.95 || value === 0 ? counts.format(value) : decimals.format(value);
  const history = new Map();
  const live = document.getElementById("live");
  let main = document.getElementById("main"), last = null, known = null, asking = false;
  if (!main.dataset.api) return;
  document.documentElement.classList.add("script");

  // ---- figures ---------------------------------------------------------------------------------

  const sum = (members, of) => members.reduce((total, member) => total + of(member), 0);

  /** What a poll says of farms and members: by key, since rates need the poll before. */
  function figures(farms, seconds) {
    const now = new Map();
    for (const farm of farms) {
      const rates = new Map();
      for (const member of farm.members) {
        const before = last?.get(key(farm, member));
        const done = member.elected - (before?.elected ?? member.elected);
        rates.set(member, seconds ? Math.max(0, done) / seconds : null);
      }
      const rate = sum(farm.members, member => rates.get(member));
      const timed = farm.members.filter(member => member.ttfb_ewma_ms !== null);
      const weigh = member => rates.get(member) || 1e-9;
      for (const member of farm.members) {
        now.set(key(farm, member), {
          elected: member.elected, served: member.served, failed: member.failed,
          inflight: member.inflight, ttfb: member.ttfb_ewma_ms,
          rate: seconds ? rates.get(member) : null,
          share: rate ? rates.get(member) / rate : null,
        });
      }
      now.set(key(farm), {
        elected: farm.elected, refused: farm.refused,
        failed: sum(farm.members, member => member.failed),
        queued: farm.queued, inflight: sum(farm.members, member => member.inflight),
        rate: seconds ? rate : null,
        ttfb: timed.length
          ? sum(timed, member => member.ttfb_ewma_ms * weigh(member)) / sum(timed, weigh) : null,
      });
    }
    return now;
  }

  const key = (farm, member) => JSON.stringify([farm.name, farm.server, member?.name ?? null]);

  // ---- drawing ---------------------------------------------------------------------------------

  const WRITE = {
    rate: figure, ttfb: value => value >= 99.95 ? counts.format(value) : decimals.format(value),
    share: value => `${Math.round(value * 100)} %`,
  };

  function show(place, name, values) {
    for (const cell of place.querySelectorAll("[data-value]")) {
      const value = values[cell.dataset.value];
      if (value === null || value === undefined) continue;
      const text = (WRITE[cell.dataset.value] ?? counts.format)(value);
      if (cell.textContent !== text) cell.textContent = text;
    }
    const bar = place.querySelector("[data-bar]");
    if (bar && values.share !== null) bar.setAttribute("width", `${Math.round(values.share * 100)}%`);
    for (const cell of place.querySelectorAll("[data-chart]")) {
      draw(cell, history.get(name)?.[cell.dataset.chart] ?? []);
    }
  }

  /** A line over the last polls, from 0 to the largest. */
  function draw(cell, points) {
    if (points.length < 2) return;
    let svg = cell.firstElementChild;
    if (!svg) {
      svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      for (const part of ["area", "line"]) {
        svg.append(document.createElementNS(SVG, "path"));
        svg.lastElementChild.setAttribute("class", part);
      }
      cell.append(svg);
    }
    const most = Math.max(...points, 1e-9), end = points.length - 1;
    const line = points.map((value, at) => `${at},${(19 - 17.5 * value / most).toFixed(2)}`).join("L");
    svg.setAttribute("viewBox", `0 0 ${end} 20`);
    svg.children[0].setAttribute("d", `M0,20L${line}L${end},20Z`);
    svg.children[1].setAttribute("d", `M${line}`);
  }

  function remember(now) {
    for (const [name, values] of now) {
      const charts = history.get(name) ?? { rate: [], ttfb: [], inflight: [] };
      for (const [chart, points] of Object.entries(charts)) {
        if (values[chart] !== null) points.push(values[chart]);
        if (points.length > KEPT) points.shift();
      }
      history.set(name, charts);
    }
    for (const name of history.keys()) if (!now.has(name)) history.delete(name);
  }

  function paint() {
    for (const section of main.querySelectorAll("[data-farm]")) {
      const farm = { name: section.dataset.farm, server: section.dataset.server };
      const put = (place, name) => last.has(name) && show(place, name, last.get(name));
      put(section.querySelector(".tiles"), key(farm));
      for (const row of section.querySelectorAll("[data-member]")) {
        put(row, key(farm, { name: row.dataset.member }));
      }
    }
  }

  // ---- asking ----------------------------------------------------------------------------------

  /** What the server has written into the page's text, and would write anew. */
  const WRITTEN = ["name", "server", "method", "on", "forward", "fallback", "usable", "members", "route",
    "weight", "lbset", "up", "in", "drain", "standby", "spare", "stopped", "ignore_errors", "maxconn",
    "slowstart", "redirect", "draintimeout", "error", "agent", "unused", "reason"];
  const settings = farms => JSON.stringify(farms, WRITTEN);

  async function poll() {
    if (document.hidden || asking) return;
    asking = true;
    try {
      const answer = await fetch(main.dataset.api, { cache: "no-store" });
      if (!answer.ok) throw new Error(`the API answers ${answer.status}`);
      const said = await answer.json(), farms = said.farms ?? [said], at = performance.now();
      const now = figures(farms, last && (at - last.at) / 1000);
      now.at = at;
      remember(now);
      last = now;
      const state = settings(farms);
      if (known !== null && known !== state && !inUse() && await renew()) known = state;
      known ??= state;
      paint();
      tell("live", "Live");
    } catch (error) {
      last = null;
      tell("lost", `Not live: ${error.message}`);
    } finally {
      asking = false;
    }
  }

  function tell(state, text) {
    if (live.textContent === text) return;
    live.className = state;
    live.textContent = text;
  }

  /** Between a button's going down and up it stays, or the click is lost. */
  let pressed = false;
  document.addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { pressed = false; });

  /** Somebody is pressing a button or writing into a form: it is not taken away. */
  const inUse = () => pressed || [...main.querySelectorAll("details[open] input, details[open] select")].some(field =>
    field.tagName === "SELECT"
      ? [...field.options].some(option => option.selected !== option.defaultSelected)
      : field.value !== field.defaultValue);

  // ---- changing --------------------------------------------------------------------------------

  /** Where an element stands: its farm, its member if any, and its number there. */
  function placed(element) {
    const member = element.closest("[data-member]")?.dataset.member;
    const farm = element.closest("[data-farm]")?.id;
    return { farm, member, at: focusables(farm, member).indexOf(element) };
  }

  /** What can have the focus in a member's row, or in the farm where there is no such member. */
  function focusables(farm, member) {
    const section = document.getElementById(farm) ?? main;
    const row = [...section.querySelectorAll("[data-member]")].find(row => row.dataset.member === member);
    return [...(row ?? section).querySelectorAll("a, button, input, select, summary")];
  }

  /** Puts the focus where it was. */
  function focus({ farm, member, at }) {
    const element = focusables(farm, member)[at];
    if (element && placed(element).member === member) element.focus({ preventScroll: true });
  }

  /** Has the page's text made anew; false when somebody has begun to use it meanwhile. */
  async function renew() {
    const answer = await fetch(location.href), text = await answer.text();
    if (inUse()) return false;
    take(answer, text);
    return true;
  }

  /** Puts the server's page in place of this one's text. */
  function take(answer, text, close) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error(`the page answers ${answer.status}`);
    if (!answer.ok) return say(fresh.querySelector("#said"));
    // A renewal moves nothing under a person's hands: panels, focus, and what a change came to stay.
    const focused = close ? null : placed(document.activeElement ?? main);
    if (!close) {
      for (const open of main.querySelectorAll("details[open]")) {
        fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
      }
      fresh.querySelector("#said").replaceWith(main.querySelector("#said"));
    }
    const sum = document.querySelector(".sum"), counted = page.querySelector(".sum");
    if (sum && counted) sum.replaceWith(document.adoptNode(counted));
    main.replaceWith(document.adoptNode(fresh));
    main = fresh;
    if (focused) focus(focused);
    if (last) paint();
  }

  function say(line) {
    const said = main.querySelector("#said");
    said.className = line.className;
    said.textContent = line.textContent;
    said.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("submit", async event => {
    event.preventDefault();
    const form = event.target, fields = new URLSearchParams(new FormData(form, event.submitter));
    const { farm, member } = placed(form);
    try {
      const answer = await fetch(form.action, { method: "POST", body: fields });
      take(answer, await answer.text(), true);
      // What follows from it by itself may already have happened.
      known = "";
      focusables(farm, member).find(element => element.matches("button, summary"))?.focus();
    } catch (error) {
      tell("lost", `Not sent: ${error.message}`);
    }
  });

  // A panel closes with Escape, and by a click elsewhere.
  const close = but => main.querySelectorAll("details[open]").forEach(open => {
    if (open !== but) open.open = false;
  });
  document.addEventListener("click", event => close(event.target.closest("details")));
  document.addEventListener("keydown", event => {
    const open = event.key === "Escape" && main.querySelector("details[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });

  document.addEventListener("visibilitychange", poll);
  setInterval(poll, EVERY);
  poll();
})();
