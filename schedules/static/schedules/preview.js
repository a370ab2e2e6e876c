// Shows what the form of a schedule would do while it is filled in. Without it, the button “Preview” does.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const body = document.getElementById("preview-body");
  const form = body && body.closest("form");
  if (!form || !body.dataset.url) return;
  const shown = body.closest(".sched-preview");
  let timer = 0;
  let latest = 0;

  async function show() {
    const mine = ++latest;
    try {
      const answer = await fetch(body.dataset.url, { method: "POST", body: new FormData(form), redirect: "error" });
      if (!answer.ok || mine !== latest) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== latest) return;
      body.replaceChildren(...page.body.childNodes);
      body.classList.add("is-live");
      shown.classList.remove("is-old");
    } catch {
      // The server can't be reached: what is shown is marked as old, and the button still works.
    }
  }

  form.addEventListener("input", () => {
    shown.classList.add("is-old");
    clearTimeout(timer);
    timer = setTimeout(show, 400);
  });
});
