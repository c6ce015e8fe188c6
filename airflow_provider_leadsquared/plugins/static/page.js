"use strict";
// Before the page is drawn: take over what the user chose in Airflow, which keeps it under this name.
(() => {
  const root = document.documentElement;
  try {
    const chosen = window.localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; then the browser's own choice holds.
  }
  // Outside of Airflow's frame the page needs a way back.
  if (window.self === window.top) root.dataset.alone = "";
})();
