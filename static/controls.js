/* Presses, the focus, dialogs, menus, ticks, comboboxes and the window at Xero: small things that HTML does not do by itself. */
"use strict";

/* A press counts although the page moves under it: a frame is as high as its content, and the portal moves it when that changes. */
const presses = (() => {
  const NEAR = 8;
  const LONGEST = 2000;
  let press = null;

  document.addEventListener("pointerdown", (event) => {
    const control = event.button === 0 && event.isPrimary ? event.target.closest("button, a[href], label, summary") : null;
    press = control && { control, x: event.screenX, y: event.screenY, at: Date.now() };
  }, true);
  document.addEventListener("pointerup", (event) => {
    const { control, x, y } = press ?? {};
    press = null;
    if (!control || control.contains(event.target)) return;
    // Let go elsewhere without having moved: the control has moved, and the browser sends it no click. Whoever moved away changed their mind.
    if (Math.hypot(event.screenX - x, event.screenY - y) <= NEAR && document.contains(control)) control.click();
  }, true);
  document.addEventListener("pointercancel", () => { press = null; }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.closest?.("button, summary")) press = { at: Date.now() };
  }, true);
  document.addEventListener("keyup", () => { press = null; }, true);

  /** Is something pressed and not let go yet? What changes by itself waits that long. */
  const held = () => press !== null && Date.now() - press.at < LONGEST;
  return { held };
})();

/* Whoever works with the keyboard stays where they were when a part of the page is replaced. */
(() => {
  const body = document.body;
  const holders = new WeakMap();

  /** The same control in a part that came anew. */
  function twin(part, old) {
    const says = (one) => [one.textContent.trim(), one.name, one.getAttribute("href"), one.getAttribute("hx-post")].join();
    return [...part.querySelectorAll(old.tagName)].find((one) => !one.disabled && says(one) === says(old));
  }

  /** The place that stands for a part: its heading, else itself. */
  function heading(part) {
    const found = part.querySelector("h1, h2, h3, legend") ?? part;
    if (!found.hasAttribute("tabindex")) found.tabIndex = -1;
    return found;
  }

  // A pressed button is disabled while its request runs, and the browser forgets that it had the focus.
  body.addEventListener("htmx:beforeRequest", (event) => {
    const { elt, requestConfig } = event.detail;
    if (elt.contains(document.activeElement)) holders.set(requestConfig, document.activeElement);
  });
  body.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    const active = document.activeElement;
    if (active === body) return;
    if (target.contains(active)) holders.set(requestConfig, active);
    else holders.delete(requestConfig);
  });
  body.addEventListener("htmx:afterRequest", (event) => {
    const { target, requestConfig } = event.detail;
    const old = holders.get(requestConfig);
    if (!old || document.activeElement !== body || document.querySelector("dialog[open]")) return;
    const part = document.getElementById(target.id) ?? document.getElementById("app");
    (document.contains(old) && !old.disabled ? old : twin(part, old) ?? heading(part)).focus({ preventScroll: true });
  });
})();

/* Dialogs stand in the part of the frame that can be seen, and keep the focus; Esc closes. */
(() => {
  const body = document.body;

  async function place(dialog) {
    const band = await bitrix24.visibleBand();
    if (band.height > window.innerHeight - 40) return;
    const room = band.height - Math.min(dialog.offsetHeight, band.height - 32);
    const sheet = window.matchMedia("(max-width: 767px)").matches;
    dialog.style.maxBlockSize = `${band.height - 32}px`;
    dialog.style.insetBlock = "0 auto";
    dialog.style.marginBlock = `${band.top + (sheet ? room : room / 2)}px 0`;
  }

  let opener = null;

  function open(dialog) {
    if (!dialog.open) dialog.showModal();
    if (document.activeElement === document.body || !dialog.contains(document.activeElement)) dialog.querySelector("h2")?.focus();
    place(dialog);
  }

  /* The browser keeps the rest of our page out of reach, but Tab would go on into the portal around the frame. */
  document.addEventListener("keydown", (event) => {
    const dialog = event.key === "Tab" && event.target.closest?.("dialog[open]");
    if (!dialog) return;
    const stops = [...dialog.querySelectorAll("a[href], button, input, select, summary")].filter((one) => !one.disabled && one.checkVisibility());
    if (!stops.length) return;
    const at = stops.indexOf(document.activeElement);
    const last = stops.length - 1;
    if (event.shiftKey ? at > 0 : at < last) return;
    event.preventDefault();
    stops[event.shiftKey ? last : 0].focus();
  });

  function empty(dialog) {
    const content = dialog.querySelector("#dialog-content");
    if (content) setTimeout(() => { if (!dialog.open) content.replaceChildren(); }, 0);
  }

  /* A pressed button is disabled while its request runs, so that the browser forgets where the focus was. */
  body.addEventListener("htmx:beforeRequest", (event) => {
    const { elt, target } = event.detail;
    if (target?.id !== "dialog-content" || elt.closest("dialog")) return;
    const menu = elt.closest("[popover]");
    opener = menu ? document.querySelector(`[popovertarget="${menu.id}"]`) : elt;
  });

  function goBack() {
    if (opener && document.contains(opener) && document.activeElement?.tagName !== "H1") opener.focus({ preventScroll: true });
    opener = null;
  }

  body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialog-content" && event.detail.target.children.length) open(document.getElementById("dialog"));
    if (event.detail.target.id === "app") document.getElementById("dialog").close();
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens-dialog]");
    if (opener) open(document.getElementById(opener.dataset.opensDialog));
    if (event.target.closest("[data-close-dialog]")) event.target.closest("dialog").close();
  });
  document.addEventListener("cancel", (event) => {
    const leave = event.target.querySelector?.("[data-dialog-cancel]");
    if (leave) leave.click();
  }, true);
  document.addEventListener("close", (event) => {
    empty(event.target);
    if (event.target.id === "dialog") setTimeout(goBack, 0);
  }, true);
})();

/* Menus and tips stand at the button that opened them. */
(() => {
  const opened = new Set();

  function place(popover) {
    const button = document.querySelector(`[popovertarget="${popover.id}"]`);
    if (!button) return;
    const at = button.getBoundingClientRect();
    const mirrored = document.documentElement.dir === "rtl";
    const start = mirrored ? at.right - popover.offsetWidth : at.left;
    const left = Math.max(8, Math.min(start, document.documentElement.clientWidth - popover.offsetWidth - 8));
    const below = window.innerHeight - at.bottom - 12;
    const above = at.top - 12;
    const upwards = popover.offsetHeight > below && above > below;
    const height = Math.min(popover.offsetHeight, upwards ? above : below);
    popover.style.left = `${left}px`;
    popover.style.top = `${upwards ? at.top - height - 4 : at.bottom + 4}px`;
    popover.style.maxHeight = `${height}px`;
  }

  document.addEventListener("toggle", (event) => {
    if (!event.target.hasAttribute?.("popover")) return;
    const open = event.newState === "open";
    if (open) place(event.target);
    opened[open ? "add" : "delete"](event.target);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest(".menu > button")) event.target.closest(".menu").hidePopover();
  });
  window.addEventListener("scroll", () => opened.forEach((popover) => popover.hidePopover()), { passive: true });
  window.addEventListener("resize", () => opened.forEach(place));
})();

/* Ticked rows decide which buttons may be pressed; "For all" stands for every row of the filter. */
(() => {
  function show() {
    const bulk = document.getElementById("bulk");
    if (!bulk) return;
    const ticks = [...document.querySelectorAll("[data-tick]")];
    const ticked = ticks.filter((tick) => tick.checked).length;
    const all = bulk.querySelector("[data-for-all]").checked;
    const head = document.querySelector("[data-tick-page]");
    head.checked = ticked > 0 && ticked === ticks.length;
    head.indeterminate = ticked > 0 && ticked < ticks.length;
    const counter = document.querySelector("[data-counter]");
    counter.textContent = all ? counter.dataset.all : counter.dataset.some.replace("#", ticked);
    bulk.querySelectorAll("[data-needs-ticks]").forEach((button) => {
      button.disabled = button.hasAttribute("data-never") || !(ticked || all);
    });
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-page]")) {
      document.querySelectorAll("[data-tick]").forEach((tick) => { tick.checked = event.target.checked; });
    }
    if (event.target.matches("[data-tick-page], [data-tick], [data-for-all]")) show();
  });
  document.body.addEventListener("htmx:afterSettle", show);
})();

/* Combobox after the WAI-ARIA pattern: the list is fetched as one types; arrows, Enter and Esc work. */
(() => {
  const inputOf = (list) => document.querySelector(`[role="combobox"][aria-controls="${list.id}"]`);
  const listOf = (input) => document.getElementById(input.getAttribute("aria-controls"));
  const options = (list) => [...list.querySelectorAll('[role="option"]:not([aria-disabled], [hidden])')];

  function open(input, yes) {
    listOf(input).hidden = !yes;
    input.setAttribute("aria-expanded", String(yes));
    if (!yes) activate(input, null);
  }

  function activate(input, option) {
    options(listOf(input)).forEach((one) => {
      one.classList.toggle("active", one === option);
      one.setAttribute("aria-selected", String(one === option));
    });
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function pick(input, option) {
    input.value = option.dataset.label;
    valueOf(input).value = option.dataset.value;
    open(input, false);
  }

  const valueOf = (input) => input.closest("[data-combobox]").querySelector('input[type="hidden"]');

  /** What does not match goes at once; the server's answer follows. */
  function narrow(input) {
    const text = input.value.trim().toLowerCase();
    listOf(input).querySelectorAll('[role="option"]').forEach((one) => { one.hidden = !one.textContent.toLowerCase().includes(text); });
    activate(input, null);
  }

  function move(input, step) {
    const all = options(listOf(input));
    const at = all.findIndex((one) => one.classList.contains("active"));
    if (all.length) activate(input, all[(at + step + all.length + (at < 0 && step < 0 ? 1 : 0)) % all.length]);
  }

  const keys = {
    ArrowDown: (input) => { open(input, true); move(input, 1); },
    ArrowUp: (input) => { open(input, true); move(input, -1); },
    Escape: (input) => open(input, false),
    Enter: (input) => {
      const active = listOf(input).querySelector(".active");
      if (active) pick(input, active);
    },
  };

  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.('[role="combobox"]') || !keys[event.key]) return;
    const closed = listOf(event.target).hidden;
    if (closed && (event.key === "Enter" || event.key === "Escape")) return;
    event.preventDefault();
    keys[event.key](event.target);
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches('[role="combobox"]')) return;
    valueOf(event.target).value = "";
    narrow(event.target);
    open(event.target, true);
  });
  document.addEventListener("click", (event) => {
    if (event.target.matches('[role="combobox"]')) open(event.target, true);
  });
  document.addEventListener("mousedown", (event) => {
    const option = event.target.closest('.listbox [role="option"]');
    if (!option) return;
    event.preventDefault();
    if (!option.hasAttribute("aria-disabled")) pick(inputOf(option.closest("ul")), option);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.('[role="combobox"]')) open(event.target, false);
  });
})();

/* The window at Xero is opened by the click itself, or browsers refuse it; the ticket's address follows. */
(() => {
  let waiting = null;

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-opens-window]")) waiting = window.open("about:blank", "_blank");
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    const link = document.querySelector("[data-window]");
    if (!link) return;
    if (waiting && !waiting.closed) {
      waiting.opener = null;
      waiting.location.replace(link.href);
      link.parentElement.remove();
    } else {
      link.parentElement.hidden = false;
      link.removeAttribute("data-window");
    }
    waiting = null;
  });
  document.body.addEventListener("htmx:responseError", () => { waiting?.close(); waiting = null; });
})();
