// Commands can be selected without this; with it, a button copies them.
document.addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("copied");
  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
  document.querySelectorAll("button.copy").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        status.textContent = "Copied.";
      } catch {
        select(code);
        status.textContent = document.execCommand("copy") ? "Copied." : "Selected; copy it with your keyboard.";
      }
      button.textContent = status.textContent === "Copied." ? "Copied" : "Selected";
    });
  });
});
