/* The window at Xero: closing it leads back to Bitrix24. */
"use strict";

document.querySelector("[data-close-window]")?.addEventListener("click", () => window.close());
