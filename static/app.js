/* The frame pass on every request, what happens after a page or a part arrived, and what is said aloud. */
"use strict";

(() => {
  const HEADER = "X-Frame-Pass";
  const OLD = 50 * 60 * 1000;
  const body = document.body;
  const pass = { value: document.querySelector('meta[name="frame-pass"]').content, since: Date.now() };
  let renewing = null;

  function keep(fresh) {
    if (fresh) Object.assign(pass, { value: fresh, since: Date.now() });
  }

  /** Exchange a pass that is about to end for a new one; several callers share one exchange. */
  function renew() {
    renewing ??= bitrix24.freshToken()
      .then((token) => fetch(body.dataset.renew, { method: "POST", headers: { [HEADER]: pass.value }, body: new URLSearchParams(token) }))
      .then((answer) => keep(answer.headers.get(HEADER)))
      .catch(() => {})
      .finally(() => { renewing = null; });
    return renewing;
  }

  const old = () => Date.now() - pass.since > OLD;

  body.addEventListener("htmx:confirm", (event) => {
    if (!old()) return;
    event.preventDefault();
    renew().then(() => event.detail.issueRequest(true));
  });
  body.addEventListener("htmx:configRequest", (event) => { event.detail.headers[HEADER] = pass.value; });
  body.addEventListener("htmx:beforeOnLoad", (event) => keep(event.detail.xhr.getResponseHeader(HEADER)));
  setInterval(() => { if (old() && !document.hidden) renew(); }, 60 * 1000);

  /* What asks by itself fails silently and asks again: an answer that never comes is given up, and what has left the page changes nothing any more. */
  const PATIENCE = 10 * 1000;
  const LONG_PATIENCE = 60 * 1000;
  const SILENT = 15 * 1000;
  const asked = new WeakMap();
  const quiet = (element) => element.hasAttribute("data-quiet");

  body.addEventListener("htmx:configRequest", (event) => {
    const { elt } = event.detail;
    if (quiet(elt)) event.detail.timeout = elt.hasAttribute("data-once") ? LONG_PATIENCE : PATIENCE;
  });
  body.addEventListener("htmx:beforeSwap", (event) => {
    const { requestConfig, xhr } = event.detail;
    const asker = requestConfig.elt;
    if (!quiet(asker)) return;
    if (xhr.status >= 500 || !document.contains(asker) || presses.held()) event.detail.shouldSwap = false;
    else if (asker.hasAttribute("data-once")) asker.removeAttribute("data-quiet");
  });

  /* The dashboard rests while nobody looks; everything asks at once when somebody does, and when nothing was asked for too long. */
  body.addEventListener("htmx:beforeRequest", (event) => {
    const { elt } = event.detail;
    if (document.hidden && elt.hasAttribute("data-while-seen")) event.preventDefault();
    else asked.set(elt, Date.now());
  });
  function askAgain(silent = 0) {
    if (document.hidden) return;
    document.querySelectorAll("[data-quiet]").forEach((one) => {
      if (!asked.has(one)) asked.set(one, Date.now() - (silent ? 0 : SILENT));
      if (Date.now() - asked.get(one) >= silent) htmx.trigger(one, "seen-again");
    });
  }
  document.addEventListener("visibilitychange", () => askAgain());
  window.addEventListener("online", () => askAgain());
  setInterval(() => askAgain(SILENT), 5 * 1000);

  body.addEventListener("htmx:sendError", (event) => {
    if (!event.detail.elt.hasAttribute("data-quiet")) toast(body.dataset.offline);
  });

  /* A download is a form of the page itself; it shows the pass that is good now. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const field = form.querySelector("[data-pass]");
    if (!field) return;
    field.value = pass.value;
    if (!old()) return;
    event.preventDefault();
    renew().then(() => { field.value = pass.value; form.submit(); });
  });

  function toast(text) {
    const line = document.createElement("p");
    line.className = "toast";
    line.textContent = text;
    document.getElementById("toasts").append(line);
    setTimeout(() => line.remove(), 5000);
  }

  /* What changes by itself is said once; then the line is emptied, for the page shows it anyway. */
  let said = "";
  let forgetting = 0;
  function sayWhatIsNew() {
    const text = [...document.querySelectorAll("[data-announce]")].map((line) => line.dataset.announce).join(". ");
    if (text === said) return;
    said = text;
    const live = document.getElementById("live");
    live.textContent = text;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => live.replaceChildren(), 1500);
  }

  let first = true;
  function arrived() {
    const page = document.querySelector("#app > [data-title]");
    if (!page) return;
    bitrix24.setTitle(page.dataset.title.trim());
    const entry = page.querySelector(".pill[aria-current]");
    if (entry) entry.closest("ul").scrollLeft = entry.offsetLeft - (entry.closest("ul").clientWidth - entry.offsetWidth) / 2;
    if (!first) {
      page.querySelector("h1")?.focus({ preventScroll: true });
      bitrix24.toTop();
    }
    first = false;
  }

  body.addEventListener("htmx:afterSettle", (event) => {
    event.detail.target?.removeAttribute("aria-busy");
    if (event.detail.target?.id === "app") arrived();
    if (document.querySelector("[data-crm-changed='yes']")) bitrix24.reloadCard();
    sayWhatIsNew();
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-open-path]");
    if (!link) return;
    event.preventDefault();
    bitrix24.openPath(link.dataset.openPath, link.href);
  });
  document.addEventListener("crm-closed", () => {
    const filter = document.getElementById("filter");
    if (filter) htmx.trigger(filter, "submit");
  });
})();
