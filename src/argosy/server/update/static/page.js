// Keeps a page fresh while it is looked at. Without this script it is the same page, once.
"use strict";

const EVERY_MS = 5000;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("page");
    const page = document.getElementById("page");
    page.classList.remove("quiet");
    if (getSelection().isCollapsed && !page.contains(document.activeElement)) page.replaceWith(fresh);
  } catch {
    document.getElementById("page").classList.add("quiet"); // The server is away: what is shown is old.
  }
}

if (document.getElementById("page").hasAttribute("data-live")) {
  setInterval(refresh, EVERY_MS);
}
