// A card to try goes into the number field at a click.
for (const button of document.querySelectorAll("button.fill")) {
  button.addEventListener("click", () => {
    const field = document.getElementById("number");
    field.value = button.dataset.number;
    field.focus();
  });
}
