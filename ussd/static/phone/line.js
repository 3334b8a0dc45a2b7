// The switch that breaks the line of one phone or of both, and mends it.

const form = document.getElementById("faults");
const said = document.getElementById("faults-said");

export function showFaults(phones) {
  const fit = () => {
    form.querySelector("[data-for=delay]").hidden = form.kind.value !== "delay";
    form.querySelector("[data-for=nth]").hidden = !form.kind.value || form.when.value !== "nth";
    form.when.closest("label").hidden = !form.kind.value;
  };
  form.addEventListener("change", fit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    set(phones.filter((phone) => ["both", phone.number].includes(form.phone.value)));
  });
  fit();
}

async function set(phones) {
  const { kind, when, count, seconds } = Object.fromEntries(new FormData(form));
  const which = when === "next" ? { when } : { when: "every", count: when === "nth" ? count : 1 };
  try {
    for (const phone of phones) {
      const { faults } = await phone.keys.breakLine({ kind, seconds, ...which });
      said.textContent = faults[0]?.label ?? "The line works";
      await phone.look();
    }
    said.textContent += phones.length > 1 ? ", both phones." : `, phone ${phones[0].number}.`;
  } catch (error) {
    said.textContent = error.message;
  }
}
