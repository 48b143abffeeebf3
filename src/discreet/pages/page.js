// What Gradio cannot: the page's language and landmarks, theme and text size, the sheet of the phone,
// and a camera whose picture is taken only when somebody asks. Nothing is stored but the language.
(() => {
  const SIZES = [100, 125, 150, 200];
  const MOST_SIDE = 640;
  const KEPT = "language";
  const says = window.discreetSays; // language, context, main, side: set by the page before this
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Storage: whatever a library would keep here is not kept.
  const setItem = Storage.prototype.setItem;
  Storage.prototype.setItem = function (name, value) {
    if (this === window.localStorage && name === KEPT) setItem.call(this, name, value);
  };
  for (const name of Object.keys(localStorage)) if (name !== KEPT) localStorage.removeItem(name);
  sessionStorage.clear();

  // Language: what was chosen here before goes first; a link says the other one.
  document.documentElement.lang = says.language;
  document.documentElement.classList.add(says.context);
  document.title = says.title;
  const chosen = localStorage.getItem(KEPT);
  if (location.search.includes("first") && chosen && chosen !== says.language) {
    location.replace(`../${chosen}/`);
  }

  // Pictures
  let stream = null;
  let picture = null; // a data: address, small and without metadata: a canvas keeps pixels only
  let dropped = 0; // how often: what was begun before a drop comes to nothing
  const mayLook = () => { // the page holds these controls only while something is allowed
    const controls = find("#looking");
    return controls !== null && getComputedStyle(controls).display !== "none";
  };
  const small = (source, width, height) => {
    const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.9);
  };
  const show = (kind) => {
    const stage = find(".stage");
    const said = find("#picture-says p");
    if (said) said.textContent = says[`picture_${kind}`] || "";
    if (!stage) return;
    stage.hidden = kind === "none";
    stage.querySelector("video").hidden = kind !== "camera";
    stage.querySelector(".live").hidden = kind !== "camera";
    stage.querySelector("img").hidden = kind === "camera" || kind === "none";
    stage.querySelector(".photo-says").hidden = kind !== "photo";
    stage.querySelector(".person-says").hidden = kind !== "person";
    const camera = find('[data-act="camera"]');
    camera.textContent = kind === "camera" ? camera.dataset.on : camera.dataset.off;
    camera.setAttribute("aria-pressed", String(kind === "camera"));
    find('[data-act="no-photo"]').hidden = kind !== "photo" && kind !== "person";
    if (kind !== "person") all('[data-act="person"]').forEach((b) => b.setAttribute("aria-pressed", "false"));
    find(".trouble").hidden = true;
  };
  const off = () => {
    dropped += 1;
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = picture = null;
    show("none");
  };
  const guard = () => {
    if (mayLook()) return;
    dropped += 1;
    if (stream || picture) off();
  };
  const trouble = (text) => {
    const told = find(".trouble");
    told.textContent = text;
    told.hidden = false;
  };
  const keep = (address, kind) => {
    off();
    picture = address;
    find(".stage img").src = address;
    show(kind);
  };
  const acts = {
    async camera() {
      if (stream) return off();
      off();
      const begun = dropped;
      try {
        const opened = await navigator.mediaDevices.getUserMedia({ video: { width: 640, facingMode: "user" } });
        if (begun !== dropped || !mayLook()) return opened.getTracks().forEach((track) => track.stop());
        stream = opened;
        const video = find(".stage video");
        video.srcObject = stream;
        await video.play();
        if (begun === dropped) show("camera");
      } catch {
        if (begun !== dropped || !mayLook()) return;
        off();
        trouble(find(".picture").dataset.failed);
      }
    },
    photo() {
      const input = find(".picture input[type=file]");
      input.onchange = async () => {
        const begun = dropped;
        try {
          const bitmap = await createImageBitmap(input.files[0]);
          if (begun === dropped && mayLook()) keep(small(bitmap, bitmap.width, bitmap.height), "photo");
        } catch {
          if (begun !== dropped || !mayLook()) return;
          off();
          trouble(find(".picture").dataset.unreadable);
        }
        input.value = "";
      };
      input.click();
    },
    "no-photo": off,
    person(button) {
      const was = button.getAttribute("aria-pressed") === "true";
      if (was) return off();
      keep(button.querySelector("img").src, "person");
      all('[data-act="person"]').forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    },
    focus() {
      find("#question textarea").focus();
    },
    language(link) {
      localStorage.setItem(KEPT, link.dataset.value);
    },
    theme() {
      document.body.classList.toggle("dark");
    },
    size() {
      const now = parseInt(document.documentElement.style.fontSize) || 100;
      resize(SIZES[(SIZES.indexOf(now) + 1) % SIZES.length]);
    },
    sheet() {
      document.body.classList.contains("sheet") ? close() : open();
    },
    close() {
      close();
    },
    async copy(button) {
      const text = [...button.closest(".answered, .card").querySelectorAll("p:not(.fitted, .aside)")].map((p) => p.textContent).join("\n");
      await navigator.clipboard.writeText(text);
      const label = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => (button.textContent = label), 1500);
    },
  };
  acts.print = (button) => { // the card alone, whatever the page looks like around it
    const sheet = document.createElement("div");
    sheet.id = "printed";
    sheet.append(button.closest(".card").querySelector(".words").cloneNode(true));
    document.body.append(sheet);
    window.print();
    sheet.remove();
  };
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-act]");
    if (!target || !(target.dataset.act in acts)) return;
    if (target.dataset.act === "focus") event.preventDefault();
    acts[target.dataset.act](target);
  });

  // Text size: everything on the page is told in rem.
  const resize = (percent) => {
    document.documentElement.style.fontSize = `${percent}%`;
    const box = find("#question textarea");
    if (box) box.dispatchEvent(new Event("input", { bubbles: true })); // its height follows
  };

  // The sheet of the phone
  const opener = () => find('[data-act="sheet"]');
  const open = () => {
    document.body.classList.add("sheet");
    opener().setAttribute("aria-expanded", "true");
    enter('#close [data-act="close"]');
  };
  const enter = (selector, tries = 120) => { // what is still hidden takes no focus: a frame later it may
    const target = find(selector);
    if (!document.body.classList.contains("sheet") || find("#side").contains(document.activeElement)) return;
    if (target) target.focus();
    if (document.activeElement !== target && tries) requestAnimationFrame(() => enter(selector, tries - 1));
  };
  const close = () => {
    if (!document.body.classList.contains("sheet")) return;
    document.body.classList.remove("sheet");
    opener().setAttribute("aria-expanded", "false");
    opener().focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key !== "Tab" || !document.body.classList.contains("sheet")) return;
    const inside = [...find("#side").querySelectorAll("button, input, select, a, pre")].filter((e) => e.offsetParent);
    const [first, last] = [inside[0], inside[inside.length - 1]];
    if (event.shiftKey && document.activeElement === first) (event.preventDefault(), last.focus());
    if (!event.shiftKey && document.activeElement === last) (event.preventDefault(), first.focus());
  });

  // Landmarks, and names that Gradio leaves out
  const name = (selector, role, label) => {
    for (const element of all(selector)) {
      if (role && element.getAttribute("role") !== role) element.setAttribute("role", role);
      if (label && element.getAttribute("aria-label") !== label) element.setAttribute("aria-label", label);
    }
  };
  const landmarks = () => {
    name(".gradio-container main", "none");
    name("#top", "banner");
    name("#main", "main", says.main);
    name("#side", "complementary", says.panel);
    name("#status", "status");
    name("#talk", "region", says.main);
    for (const group of all("fieldset")) // one group, so that arrow keys choose and "2 of 5" is heard
      for (const one of group.querySelectorAll("input[type=radio]")) {
        const of = `of-${group.closest("[id]").id}`;
        if (one.name !== of) one.name = of;
      }
    if (find("#talk")) find("#talk").tabIndex = 0;
  };
  const watch = () => {
    new MutationObserver(landmarks).observe(document.body, { childList: true, subtree: true });
    new MutationObserver(guard).observe(document.body, {
      childList: true, subtree: true, attributes: true, attributeFilter: ["class", "style", "hidden"],
    });
    landmarks();
  };
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", watch) : watch(); // Gradio puts this in late
  window.addEventListener("pagehide", off);

  window.discreet = {
    off,
    resize,
    /** Bring a section of the panel to where it is read; on a phone the sheet comes with it. */
    reveal(id) {
      if (matchMedia("(max-width: 60rem)").matches) open();
      const section = document.getElementById(id);
      section.scrollIntoView({ block: "start" });
      section.querySelector("button").focus({ preventScroll: true });
    },
    /** Return the picture that goes with this question, or an empty text; where nothing is allowed, that. */
    frame() {
      if (!mayLook()) return "";
      const video = find(".stage video");
      return stream && video && video.videoWidth ? small(video, video.videoWidth, video.videoHeight) : picture || "";
    },
    /** Keep the newest words in sight, unless somebody reads further up. */
    follow(force) {
      const talk = find("#talk");
      if (talk && (force || talk.scrollHeight - talk.scrollTop - talk.clientHeight < 240)) talk.scrollTop = talk.scrollHeight;
    },
  };
})();
