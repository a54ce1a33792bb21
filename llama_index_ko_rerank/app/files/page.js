// What the page does by itself: following citations, copying, light and dark, and keys. It sends nothing anywhere.
(() => {
  "use strict";
  const THEME = "ko-rerank-theme";
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");

  const actions = {
    theme() {
      const dark = document.body.classList.toggle("dark");
      try { localStorage.setItem(THEME, dark ? "dark" : "light"); } catch { /* a private window may keep nothing */ }
    },
    async copy(button) {
      const text = button.closest(".answer").querySelector(".answer-text").innerText;
      const done = await copied(text);
      const label = button.textContent;
      button.textContent = done ? "복사했습니다" : "복사하지 못했습니다";
      setTimeout(() => { button.textContent = label; }, 1600);
    },
  };

  async function copied(text) {
    if (navigator.clipboard) {
      try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed: the old way may be */ }
    }
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  document.addEventListener("click", (event) => {
    const citation = event.target.closest("a.cite");
    if (citation) {
      event.preventDefault(); // the address stays as it is
      const source = document.getElementById(citation.getAttribute("href").slice(1));
      source?.scrollIntoView({ behavior: reduced.matches ? "auto" : "smooth", block: "start" });
      source?.focus({ preventScroll: true });
      return;
    }
    const button = event.target.closest("button[data-action]");
    if (button) actions[button.dataset.action]?.(button);
  });

  // Enter that ends a Hangul syllable is no Enter that asks: without this the question is sent before its last letter.
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.isComposing || event.keyCode === 229)) event.stopImmediatePropagation();
  }, true);

  addEventListener("keydown", (event) => {
    const field = document.querySelector("#question textarea, #question input");
    const typing = event.target.closest?.("textarea, input:not([type=radio]), [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field?.focus();
    }
  });

  // Gradio gives every radio button a name of its own, so that the browser does not know which belong together.
  addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step || !event.target.matches?.("#switches input[type=radio]")) return;
    event.preventDefault();
    const choices = [...event.target.closest("fieldset").querySelectorAll("input[type=radio]")];
    const next = choices[(choices.indexOf(event.target) + step + choices.length) % choices.length];
    next.focus();
    next.click();
  });

  // Gradio builds the page after this has run.
  const waiting = new MutationObserver(() => {
    const answer = document.getElementById("answer");
    if (!answer || !document.querySelector("#count input")) return;
    waiting.disconnect();
    answer.setAttribute("aria-live", "polite");
    for (const group of document.querySelectorAll("#switches fieldset")) {
      group.setAttribute("aria-label", group.querySelector("[data-testid=block-info]")?.textContent.trim() ?? "");
    }
    let kept = null;
    try { kept = localStorage.getItem(THEME); } catch { /* nothing was kept */ }
    if (kept) document.body.classList.toggle("dark", kept === "dark");
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });
})();
