// The phone: which screen is shown, which key goes where, and what has arrived meanwhile.

import { network } from "./network.js";
import { clock, cutOff, dialling, dialogue, home, prompt } from "./screens.js";

const LOOK_MS = 1200;
const TOAST_MS = 6000;
const byId = (id) => document.getElementById(id);

class Phone {
  constructor(msisdn) {
    this.storage = `jirani-read-${msisdn}`;
    this.read = new Set(JSON.parse(localStorage.getItem(this.storage) ?? "[]"));
    this.state = null;
    this.trail = [];
    this.answered = new Set(); // payment prompts that must not come back while the answer is under way
    this.known = null; // messages that were here when we looked last
    this.home();
  }

  // --- screens ---

  show(screen) {
    this.screen = screen;
    if (screen.isInbox) byId("toast").hidden = true; // it would lie over the message that it announces
    this.field = null;
    byId("view").replaceChildren(screen.build());
    byId("view").scrollTop = 0;
    byId("view").oninput = () => this.showSofts();
    for (const field of screen.fields ?? []) field.input.onfocus = () => { this.field = field; this.showSofts(); };
    const first = screen.fields?.find((field) => !field.value) ?? screen.fields?.[0];
    if (first) this.choose(first);
    else byId("view").focus({ preventScroll: true });
    this.showSofts();
  }

  open(screen) { this.trail.push(this.screen); this.show(screen); }
  back() { const before = this.trail.pop(); this.show(before?.refreshes ? before.refreshes() : before ?? home(this)); }
  home() { this.trail = []; this.show(home(this)); }

  choose(field) {
    this.field = field;
    field.focus();
    field.node.scrollIntoView({ block: "nearest" });
    this.showSofts();
  }

  get right() { return this.field?.value ? ["Clear", () => this.field.erase()] : this.screen.right; }

  showSofts() {
    byId("soft-left").textContent = this.screen.left[0];
    byId("soft-right").textContent = this.right[0];
    for (const [side, [word]] of [["left", this.screen.left], ["right", this.right]])
      document.querySelector(`[data-press=${side}]`).ariaLabel = word ? `${word} (${side} softkey)` : `${side} softkey`;
  }

  // --- keys ---

  press(key) {
    const { screen } = this;
    if (key === "left") screen.left[1]?.();
    else if (key === "right") this.right[1]?.();
    else if (key === "call") screen.call?.();
    else if (key === "end") screen.end ? screen.end() : this.home();
    else if (key === "up" || key === "down") this.move(key === "up" ? -1 : 1);
    else if (this.field) this.field.press(key);
    else screen.press?.(key);
  }

  move(step) {
    const fields = this.screen.fields ?? [];
    if (fields.length > 1) this.choose(fields[(fields.indexOf(this.field) + step + fields.length) % fields.length]);
    else if (this.screen.move) this.screen.move(step);
    else byId("view").scrollBy(0, step * 60);
  }

  // --- what arrives ---

  async look() {
    if (this.looking || document.hidden) return;
    this.looking = true;
    try {
      this.notice(await network.state());
      this.signal(true);
    } catch (error) {
      this.signal(false, error.message);
    }
    this.looking = false;
  }

  notice(state) {
    const changed = JSON.stringify(state) !== JSON.stringify(this.state);
    this.state = state;
    const news = this.known ? state.inbox.filter((one) => !this.known.has(one.id)) : [];
    this.known = new Set(state.inbox.map((one) => one.id));
    if (news.length && !this.screen.isInbox) this.toast(`${news.at(-1).from}: ${news.at(-1).text}`);
    const { screen } = this;
    const asked = state.prompts.find((one) => !this.answered.has(one.id));
    // An answer that was under way when the state was read may be older than the screen: hence the ids.
    const isCut = screen.session && screen.session === state.session?.session_id && !state.session.open;
    if (asked && screen.prompt !== asked.id && !screen.session) return this.show(prompt(this, asked));
    if (screen.prompt && !asked) return this.home();
    if (isCut) return this.show(cutOff(this));
    if (!changed) return;
    this.showMail();
    if (screen.isHome) this.home();
    else if (screen.refreshes) this.show(screen.refreshes());
  }

  signal(works, why = "") {
    byId("signal").classList.toggle("none", !works);
    byId("signal").ariaLabel = works ? "Signal is good" : "No signal";
    byId("operator").textContent = works ? "Safari Net" : "No service";
    if (!works) this.toast(why);
  }

  toast(text) {
    byId("toast").textContent = text.length > 150 ? `${text.slice(0, 147)}...` : text;
    byId("toast").hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { byId("toast").hidden = true; }, TOAST_MS);
  }

  // --- read and unread ---

  name(one) { return `${one.id}@${one.at}`; }
  hasRead(one) { return this.read.has(this.name(one)); }
  get unread() { return (this.state?.inbox ?? []).filter((one) => !this.hasRead(one)).length; }

  markRead(one) {
    this.read.add(this.name(one));
    localStorage.setItem(this.storage, JSON.stringify([...this.read].slice(-300)));
    byId("toast").hidden = true;
    this.showMail();
  }

  showMail() {
    byId("mail").hidden = !this.unread;
    byId("mail").textContent = this.unread;
    byId("mail").ariaLabel = `${this.unread} unread messages`;
  }
}

// --- the keyboard of the machine ---

const KEYS = { Enter: "left", Escape: "end", ArrowUp: "up", ArrowDown: "down", Backspace: "right" };

function onKeyDown(phone, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !byId("screen").contains(event.target) && event.target !== document.body) return;
  const typing = event.target.matches("input, textarea");
  const key = /^[0-9*#]$/.test(event.key) ? event.key : KEYS[event.key];
  if (!key) return;
  if (typing && (/^[0-9*#]$/.test(key) || event.key === "Backspace")) return;
  if (event.key === "Enter" && typing) {
    const fields = phone.screen.fields;
    const next = fields[fields.indexOf(phone.field) + 1];
    event.preventDefault();
    return next ? phone.choose(next) : phone.press("left");
  }
  if (event.key === "Enter" && event.target.matches("button")) return;
  event.preventDefault();
  if (event.key === "Backspace") return phone.screen.erase?.();
  phone.press(key);
}

async function start() {
  const phone = new Phone(document.body.dataset.msisdn);
  for (const key of document.querySelectorAll("[data-press]")) {
    key.addEventListener("pointerdown", (event) => event.preventDefault()); // the answer line keeps the focus
    key.addEventListener("click", () => phone.press(key.dataset.press));
  }
  document.addEventListener("keydown", (event) => onKeyDown(phone, event));
  byId("dial-now").addEventListener("click", () => phone.open(dialling(phone, document.body.dataset.code)));
  const tick = () => { byId("clock").textContent = clock(); };
  tick();
  setInterval(tick, 5000);
  try {
    phone.notice(await network.switchOn());
    phone.signal(true);
    if (phone.state.session?.open) phone.show(dialogue(phone, phone.state.session)); // the page was loaded again
  } catch (error) {
    phone.signal(false, error.message);
  }
  setInterval(() => phone.look(), LOOK_MS);
}

start();
