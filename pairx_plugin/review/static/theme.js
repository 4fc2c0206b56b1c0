// Runs before the page is painted, so that a chosen theme never flashes. A classic script on purpose.
(function () {
  try {
    const theme = JSON.parse(localStorage.getItem("pairx-review") || "{}").theme;
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* storage may be switched off; then the browser's own theme counts */ }
})();
