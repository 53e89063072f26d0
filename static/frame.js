/* The page of Bitrix24 around this frame: its size, its heading, its sliders, fresh tokens. Nothing waits for it. */
"use strict";

const bitrix24 = (() => {
  const PATIENCE = 10000;
  const LEAST_HEIGHT = 560;
  const framed = window.parent !== window && window.name.split("|").length === 3;
  let meeting = null;

  function load(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = resolve;
      script.onerror = () => reject(new Error("the frame library did not load"));
      document.head.append(script);
    });
  }

  function inTime(promise) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("Bitrix24 does not answer")), PATIENCE));
    return Promise.race([promise, late]);
  }

  /** The host page, met once; every caller shares the answer. Rejects outside a frame of Bitrix24. */
  function host() {
    if (!framed) return Promise.reject(new Error("not inside Bitrix24"));
    if (!meeting) {
      meeting = load(document.body.dataset.sdk).then(() => inTime(window.B24Js.initializeB24Frame()));
      meeting.catch(() => { meeting = null; });
    }
    return meeting;
  }

  function contentHeight() {
    return Math.max(LEAST_HEIGHT, Math.ceil(document.body.offsetHeight));
  }

  // While a frame grows, the browser gives a press on its new part to the page around it until that part is drawn: the press
  // would be lost. So nothing lies there to be pressed before it counts; what could be seen already is not touched.
  const FIRST_DRAWN = 150;
  const UNHEARD = 600;
  const LONGEST = 1500;
  const curtain = document.createElement("div");
  curtain.className = "curtain";
  let keepsItsHeight = false;
  let lifting = 0;
  let unheard = 0;

  function lift(after) {
    clearTimeout(lifting);
    lifting = setTimeout(() => curtain.remove(), after);
  }

  function cover() {
    const height = contentHeight();
    if (keepsItsHeight || height <= window.innerHeight) return;
    if (!curtain.isConnected) {
      curtain.style.top = `${window.innerHeight}px`;
      document.documentElement.append(curtain);
    }
    curtain.style.height = `${height - parseInt(curtain.style.top, 10)}px`;
    lift(LONGEST);
  }

  function resized() {
    keepsItsHeight = false;
    clearTimeout(unheard);
    if (curtain.isConnected) lift(FIRST_DRAWN);
  }

  /** Ask for the height of the content. Sliders ignore it; so does nobody else. */
  function fit() {
    const height = contentHeight();
    if (height === window.innerHeight) return;
    const ignored = () => { keepsItsHeight = true; lift(0); };
    host()
      .then((b24) => {
        clearTimeout(unheard);
        unheard = setTimeout(ignored, UNHEARD);
        b24.parent.message.send("resizeWindow", { width: "100%", height, isSafely: true });
      })
      .catch(ignored);
  }

  let fitting = 0;
  function fitSoon() {
    cover();
    clearTimeout(fitting);
    fitting = setTimeout(fit, 60);
  }

  function setTitle(title) {
    document.title = title;
    // Once the portal shows the heading, ours is for screen readers only; a portal that does not answer leaves it where it is.
    host().then((b24) => b24.parent.setTitle(title))
      .then((answer) => { if (!(answer && answer.isSafely)) document.documentElement.classList.add("titled"); })
      .catch(() => {});
  }

  function toTop() {
    window.scrollTo(0, 0);
    host().then((b24) => b24.parent.scrollParentWindow(0)).catch(() => {});
  }

  function openPath(path, otherwise) {
    host()
      .then((b24) => b24.slider.openPath(b24.slider.getUrl(path)))
      .then(() => document.dispatchEvent(new CustomEvent("crm-closed")))
      .catch(() => window.open(otherwise, "_blank", "noopener"));
  }

  /** The card around this frame reads its own fields again. */
  function reloadCard() {
    host().then((b24) => b24.placement.call("reloadData")).catch(() => {});
  }

  /** A fresh token of the same person, as form fields. */
  function freshToken() {
    return host().then((b24) => inTime(b24.auth.refreshAuth())).then((auth) => ({
      AUTH_ID: auth.access_token,
      AUTH_EXPIRES: auth.expires_in,
      REFRESH_ID: auth.refresh_token,
    }));
  }

  /** The part of this frame that the person can see: in a frame as high as its content it is not all of it. */
  function visibleBand() {
    return new Promise((resolve) => {
      const observer = new IntersectionObserver(([entry]) => {
        observer.disconnect();
        const seen = entry.intersectionRect;
        resolve(seen.height > 0 ? { top: seen.top, height: seen.height } : { top: 0, height: window.innerHeight });
      });
      observer.observe(document.documentElement);
    });
  }

  function finishInstallation() {
    const failed = () => { document.getElementById("install-help").hidden = false; };
    setTimeout(() => host().then((b24) => b24.installFinish()).catch(failed), 600);
    setTimeout(failed, PATIENCE);
  }

  if (framed) {
    new ResizeObserver(fitSoon).observe(document.body);
    window.addEventListener("resize", resized);
    if (document.body.dataset.installing) finishInstallation();
  }

  return { freshToken, openPath, reloadCard, setTitle, toTop, visibleBand };
})();
