/* The portal's side of the frame: creates it as Bitrix24 does (B§7.2), answers its messages (B§7.3–7.6), and moves the page's own parts. */
"use strict";
(() => {
  const appOrigin = new URL(document.currentScript.dataset.appOrigin).origin;
  const top = (() => { try { return window.top.Host ? window.top : window; } catch { return window; } })();
  const frames = new Map();
  let host = { age: "new", quote: "allowed", invoice: "allowed" };
  const json = (url, body) => fetch(url, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  json("/face/api/host").then((answer) => answer.json()).then((value) => { host = value; }).catch(() => {});

  /* --- frames ------------------------------------------------------------------------------------------------------ */

  async function mount(place, mode, code, options, handler, slider) {
    place.innerHTML = '<p class="busy" role="status">Opening the application…</p>';
    const answer = await json("/face/api/open", { placement: code, options, handler, from: location.pathname + location.search });
    const opening = await answer.json();
    if (!answer.ok) { place.innerHTML = '<p class="busy"></p>'; place.firstChild.textContent = opening.notice; return; }
    const frame = document.createElement("iframe");
    frame.name = opening.name; // before it is inserted: the SDK reads window.name
    frame.title = place.dataset.title || "Application";
    frame.allow = "clipboard-write";
    place.replaceChildren(frame);
    frames.set(opening.sid, { frame, mode, code, place, options, handler, slider });
    const form = document.createElement("form");
    form.method = "POST"; form.action = opening.url; form.target = opening.name; form.hidden = true;
    for (const [name, value] of Object.entries(opening.fields)) {
      const field = document.createElement("input");
      field.type = "hidden"; field.name = name; field.value = value; form.append(field);
    }
    document.body.append(form); form.submit(); form.remove();
  }

  /* command ":" [params ":"] callbackId ":" sid; params may hold colons and may be absent or empty */
  function parse(data) {
    if (typeof data === "object" && data && data.method) return { command: data.method, params: data.params, callback: data.callback, sid: data.appSid };
    if (typeof data !== "string") return null;
    const parts = data.split(":");
    if (parts.length < 3) return null;
    const sid = parts.pop(), callback = parts.pop(), command = parts.shift(), text = parts.join(":");
    let params = {};
    if (text) { try { params = JSON.parse(text); } catch { params = text; } }
    return { command, params, callback, sid };
  }

  window.addEventListener("message", (event) => {
    if (event.origin !== appOrigin) return;
    const message = parse(event.data), entry = message && frames.get(message.sid);
    if (!entry) return;
    const reply = (value) => {
      if (!message.callback || message.callback === "null" || message.callback === "undefined") return;
      entry.frame.contentWindow?.postMessage(message.callback + ":" + (value === undefined ? "" : JSON.stringify(value)), appOrigin);
    };
    const command = Object.hasOwn(commands, message.command) ? commands[message.command] : null;
    if (command) command(entry, message.params || {}, reply, message.sid); // unknown commands are ignored silently (B§6.4)
  });

  const oldRefusal = (entry) => host.age === "old" && entry.code !== "DEFAULT";
  const commands = {
    async getInitData(entry, params, reply, sid) { reply(await (await json("/face/api/init?sid=" + encodeURIComponent(sid))).json()); },
    setInstall(entry, params, reply) { reply(params); },
    async setInstallFinish(entry, params, reply, sid) { await json("/face/api/finish", { sid }); top.location.href = "/marketplace/app/?install_finished=Y"; },
    async refreshAuth(entry, params, reply, sid) { reply(await (await json("/face/api/refresh", { sid })).json()); },
    resizeWindow(entry, params, reply) {
      const free = entry.mode === "page";
      if (!free && host.age === "old") return;
      if (free && Number(params.height) > 0) entry.frame.style.height = Number(params.height) + "px"; // ignored in sliders and tabs (B§12.4)
      const box = entry.frame.getBoundingClientRect();
      reply({ width: box.width, height: box.height });
    },
    reloadWindow(entry, params, reply) { if (oldRefusal(entry)) return; reply(true); location.reload(); },
    setTitle(entry, params, reply) {
      if (oldRefusal(entry)) return;
      const title = entry.slider ? entry.slider.querySelector(".slider-head") : document.querySelector("[data-app-title]");
      if (title) title.textContent = params.title ?? "";
      reply(params);
    },
    setScroll(entry, params, reply) { if (oldRefusal(entry)) return; if (entry.mode === "page") window.scrollTo(0, Number(params.scroll) || 0); reply(params); },
    openApplication(entry, params, reply) {
      const options = {}, look = {};
      for (const [key, value] of Object.entries(params)) {
        if (key.startsWith("bx24_")) look[key.slice(5)] = value;
        else if (key !== "isRawValue") options[key] = typeof value === "object" ? JSON.stringify(value) : value;
      }
      top.Host.app({ code: "DEFAULT", options: { ...options, IFRAME: "Y" }, title: look.title || "", width: look.width, closed: () => reply({ result: "close" }) });
    },
    closeApplication(entry, params, reply) { reply(true); if (entry.slider) entry.slider.dispatchEvent(new Event("close-slider")); },
    openPath(entry, params, reply) { openPath(String(params.path || ""), reply); },
    async setAppOption(entry, params, reply, sid) { reply(await (await json("/face/api/option", { sid, kind: "app", ...params })).json()); },
    async setUserOption(entry, params, reply, sid) { reply(await (await json("/face/api/option", { sid, kind: "user", ...params })).json()); },
    imCallTo() {}, imPhoneTo() {}, imOpenHistory() {},
    imOpenMessenger() { top.location.href = "/notifications/"; },
    selectUser(entry, params, reply) { choosePeople(Boolean(params.mult), reply); },
    selectAccess(entry, params, reply) { choosePeople(true, (people) => reply(people.map((one) => ({ id: "U" + one.id, name: one.name, provider: "user" })))); },
    selectCRM(entry, params, reply) { reply({ lead: [], contact: [], company: [], deal: [], quote: [] }); },
    getInterface(entry, params, reply) { reply({ command: ["getInterface", ...(reloads(entry) ? ["reloadData"] : [])], event: [] }); },
    placementBindEvent() {},
    reloadData(entry, params, reply) { if (!reloads(entry)) return; reply(true); if (entry.mode === "tab") freshen(document); else freshen(top.document); },
  };
  const reloads = (entry) => /_(DETAIL_TAB|DETAIL_ACTIVITY|LIST_MENU)$/.test(entry.code);

  /* --- sliders ------------------------------------------------------------------------------------------------------ */

  const PATHS = /^\/(crm\/(deal|lead|contact|company|type)|marketplace|company\/personal\/user\/\d+|workgroups\/group\/\d+)\//;
  function openPath(path, reply) {
    const there = new URL(path, location.origin), refused = () => reply({ result: "error", errorCode: "PATH_NOT_AVAILABLE" });
    if (!PATHS.test(path) || there.origin !== location.origin) return refused();
    if (/^\/crm\/(type\/7|quote)\//.test(there.pathname) && host.quote === "refused") return refused();
    if (/^\/crm\/type\/31\//.test(there.pathname) && host.invoice === "refused") return refused();
    return top.Host.page(there.pathname + there.search, () => reply({ result: "close" }));
  }

  function slider(title, width, closed) {
    const veil = document.createElement("div");
    veil.className = "slider"; veil.setAttribute("role", "dialog"); veil.setAttribute("aria-modal", "true"); veil.setAttribute("aria-label", title || "Panel");
    veil.innerHTML = '<div class="slider-panel"><button type="button" class="slider-close" aria-label="Close">×</button><div class="slider-head"></div></div>';
    veil.querySelector(".slider-head").textContent = title || "";
    const panel = veil.firstElementChild, before = document.activeElement;
    if (Number(width) > 0) panel.style.width = `min(${Number(width)}px, calc(100% - 46px))`;
    const close = () => { veil.remove(); document.body.style.overflow = document.querySelector(".slider") ? "hidden" : ""; before?.focus?.(); closed?.(); };
    veil.addEventListener("close-slider", close);
    veil.addEventListener("mousedown", (event) => { if (event.target === veil) close(); });
    veil.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
    panel.querySelector(".slider-close").addEventListener("click", close);
    document.body.append(veil); document.body.style.overflow = "hidden"; panel.querySelector(".slider-close").focus();
    return { veil, panel };
  }

  window.Host = {
    page(path, closed) {
      const { panel } = slider("", 0, () => { closed?.(); freshen(document); });
      const frame = document.createElement("iframe");
      const there = new URL(path, location.origin); there.searchParams.set("IFRAME", "Y");
      frame.src = there.pathname + there.search; frame.title = "Card"; panel.append(frame);
    },
    app({ code, options, handler, title, width, closed }) {
      const { veil, panel } = slider(title, width, () => { closed?.(); freshen(document); });
      const place = document.createElement("div");
      place.className = "app-place"; place.dataset.title = title || "Application"; panel.append(place);
      mount(place, "slider", code, options, handler || "", veil);
    },
  };

  /* Read the page again and replace the parts that show CRM data, frames left alone. */
  async function freshen(page) {
    const view = page.defaultView, answer = await fetch(view.location.href);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const selector of ["[data-fresh]", ".grid-card"]) {
      const now = page.querySelectorAll(selector), then = fresh.querySelectorAll(selector);
      now.forEach((one, place) => { if (then[place]) one.replaceWith(page.importNode(then[place], true)); });
    }
  }

  async function choosePeople(many, reply) {
    const people = await (await json("/face/api/people")).json();
    const dialog = document.createElement("dialog");
    dialog.className = "dialog"; dialog.innerHTML = '<form method="dialog"><h2>Choose</h2><ul></ul><button class="button primary">Choose</button></form>';
    for (const one of people) {
      const row = document.createElement("li"), label = document.createElement("label"), box = document.createElement("input");
      box.type = many ? "checkbox" : "radio"; box.name = "person"; box.value = one.id; label.append(box, " " + one.name); row.append(label); dialog.querySelector("ul").append(row);
    }
    document.body.append(dialog); dialog.showModal();
    dialog.addEventListener("close", () => {
      const chosen = people.filter((one) => dialog.querySelector(`input[value="${one.id}"]`).checked);
      dialog.remove(); reply(many ? chosen : chosen[0] || {});
    });
  }

  /* --- the page's own behaviour ---------------------------------------------------------------------------------------- */

  function show(tab) {
    for (const one of tab.parentElement.querySelectorAll("[role=tab]")) {
      const chosen = one === tab, panel = document.getElementById(one.getAttribute("aria-controls"));
      one.setAttribute("aria-selected", String(chosen)); one.tabIndex = chosen ? 0 : -1; panel.hidden = !chosen;
      const place = chosen && panel.querySelector("[data-app-mount]:not([data-mounted])");
      if (place) open(place);
    }
  }
  function open(place) {
    place.dataset.mounted = "yes";
    mount(place, place.dataset.mode, place.dataset.appMount, JSON.parse(place.dataset.options || "{}"), place.dataset.handler || "", null);
  }

  document.addEventListener("click", (event) => {
    const hit = (selector) => event.target.closest(selector);
    const link = hit("a[data-slider]"), button = hit("[data-app]"), tab = hit("[role=tab]"), menu = hit("[data-menu]");
    if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); link.closest("details")?.removeAttribute("open"); top.Host.page(link.getAttribute("href")); }
    if (button) { button.closest("details")?.removeAttribute("open"); top.Host.app({ code: button.dataset.app, options: JSON.parse(button.dataset.options || "{}"), handler: button.dataset.handler, title: button.dataset.title }); }
    if (tab) show(tab);
    if (menu) { const open = document.getElementById("menu").classList.toggle("open"); menu.setAttribute("aria-expanded", String(open)); }
    if (hit("[data-remove-row]")) hit("[data-row]").remove();
    if (hit("[data-add-row]")) {
      const form = hit("form"), rows = form.querySelector("[data-rows]"), row = form.querySelector("[data-row-template]").content.querySelector("[data-row]").cloneNode(true);
      const number = Date.now() % 1e9;
      for (const field of row.querySelectorAll("[name]")) field.name = field.name.replace("[NEW]", `[${number}]`);
      rows.append(row); row.querySelector("select").focus();
    }
    for (const one of document.querySelectorAll("details.dropdown[open]")) if (!one.contains(event.target)) one.removeAttribute("open");
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.submit();
    if (event.target.matches("[data-product]")) {
      const chosen = event.target.selectedOptions[0], row = event.target.closest("[data-row]");
      if (!chosen.dataset.price) return;
      row.querySelector("[data-price]:not(option)").value = chosen.dataset.price;
      row.querySelector("select[data-rate]").value = chosen.dataset.rate;
      row.querySelector('[name$="[productName]"]').value = chosen.textContent;
    }
  });
  document.addEventListener("submit", (event) => { const text = event.target.dataset.confirm; if (text && !window.confirm(text)) event.preventDefault(); });
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (!tab || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const all = [...tab.parentElement.querySelectorAll("[role=tab]")], next = all[(all.indexOf(tab) + (event.key === "ArrowRight" ? 1 : all.length - 1)) % all.length];
    next.focus(); show(next);
  });
  for (const place of document.querySelectorAll('[data-app-mount][data-mode="page"]')) open(place);
  const bell = document.querySelector("[data-unread]");
  if (bell) setInterval(async () => {
    const { unread } = await (await json("/face/api/unread")).json();
    bell.textContent = unread; bell.hidden = !unread;
  }, 5000);
})();
