// What went over the wire, newest first, and the languages that come with it.

import { el } from "./fields.js";
import { wire } from "./network.js";

const KEPT = 200;
const WAYS = { out: "from the phone", in: "to the phone", "": "to Jirani" };
const KINDS = { ussd: "USSD", sms: "SMS", prompt: "Payment prompt", callback: "Callback" };
const time = new Intl.DateTimeFormat("en-GB", { timeZone: "Africa/Nairobi", timeStyle: "medium" });

export class Log {
  constructor(phones) {
    this.phones = phones;
    this.after = 0;
    this.list = document.getElementById("entries");
    document.getElementById("log-phones").addEventListener("change", (event) => { this.list.dataset.only = event.target.value; });
    document.getElementById("log-clear").addEventListener("click", () => this.list.replaceChildren());
  }

  async look() {
    if (this.looking || document.hidden) return;
    this.looking = true;
    try {
      const { latest, entries, languages } = await wire(this.phones.map((phone) => phone.msisdn), this.after);
      this.after = latest; // a sandbox that was started anew counts from one again
      this.list.prepend(...entries.reverse().map((entry) => this.line(entry)));
      while (this.list.children.length > KEPT) this.list.lastChild.remove();
      for (const phone of this.phones) phone.speaks(languages[phone.msisdn]);
    } catch {
      // The phones say that there is no network.
    }
    this.looking = false;
  }

  line(entry) {
    const { number } = this.phones.find((phone) => phone.msisdn === entry.msisdn);
    const facts = [entry.status, entry.ms === null ? "" : `${entry.ms} ms`, entry.fault && `fault: ${entry.fault}`];
    const item = el("li", {},
      el("p", { className: "head" }, `${time.format(new Date(entry.at))} `, el("b", {}, `Phone ${number}`), ` ${KINDS[entry.kind]} ${WAYS[entry.way]}`),
      el("p", { className: "words" }, entry.text));
    const aside = facts.filter(Boolean).join(", ");
    if (aside) item.append(el("p", { className: entry.fault || entry.status === "failed" ? "facts wrong" : "facts" }, aside));
    item.dataset.phone = number;
    return item;
  }
}
