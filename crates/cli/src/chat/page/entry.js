// The entry: fills in what is known, and leads to an address that says only what was chosen.
const form = document.querySelector("form");
const query = new URLSearchParams(location.search);
const { name, to, transport } = form.elements;

name.value = query.get("name") ?? localStorage.getItem("limpet-name") ?? "";
for (const choice of ["room", "with"]) {
  if (!query.get(choice)) continue;
  to.value = choice;
  form.elements[choice].value = query.get(choice);
}
transport.value = ["polling", "websocket"].includes(query.get("transport")) ? query.get("transport") : "";

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const me = name.value.trim();
  const where = form.elements[to.value]?.value.trim();
  const address = new URLSearchParams({ name: me });
  if (where) address.set(to.value, where);
  if (transport.value) address.set("transport", transport.value);
  localStorage.setItem("limpet-name", me);
  location.href = `${where ? "/sticky/chat" : "/sticky/mypage"}?${address}`;
});
