// The phone: which screen is shown, which key goes where, and what has arrived meanwhile.

import { keysOf } from "./network.js";
import { clock, cutOff, dial, dialogue, home, prompt } from "./screens.js";

const TOAST_MS = 6000;

export class Phone {
  // `root` is its element; `isTyped` says whether the machine's keyboard types into this one.
  constructor(root, isTyped) {
    this.root = root;
    this.isTyped = () => isTyped(this);
    this.number = root.dataset.number;
    this.msisdn = root.dataset.msisdn;
    this.keys = keysOf(root.dataset.api);
    this.storage = `jirani-read-${this.msisdn}`;
    this.read = new Set(JSON.parse(localStorage.getItem(this.storage) ?? "[]"));
    this.state = null;
    this.trail = [];
    this.answered = new Set(); // payment prompts that must not come back while the answer is under way
    this.known = null; // messages that were here when we looked last
    this.home();
  }

  part(name) { return this.root.querySelector(`[data-part=${name}]`); }

  // A screen that comes by itself takes the focus from nothing else on the page.
  get holdsFocus() {
    const { activeElement } = document;
    return this.root.contains(activeElement) || ((!activeElement || activeElement === document.body) && this.isTyped());
  }

  takeFocus() {
    this.part("view").focus({ preventScroll: true });
    this.field?.focus();
  }

  reveal(node) { if (node && this.holdsFocus) node.scrollIntoView({ block: "nearest" }); }

  // --- screens ---

  show(screen) {
    const held = this.holdsFocus;
    const hadFocus = this.root.contains(document.activeElement);
    this.screen = screen;
    if (screen.isInbox) this.part("toast").hidden = true; // it would lie over the message that it announces
    this.field = null;
    this.part("view").replaceChildren(screen.build());
    this.part("view").scrollTop = 0;
    this.part("view").oninput = () => this.showSofts();
    for (const field of screen.fields ?? []) field.input.onfocus = () => { this.field = field; this.showSofts(); };
    const first = screen.fields?.find((field) => !field.value) ?? screen.fields?.[0];
    if (first) this.choose(first, held);
    else if (hadFocus) this.part("view").focus({ preventScroll: true });
    this.showSofts();
    this.say(screen.says ?? this.part("view").innerText);
  }

  // For who listens to the page: which phone shows what, each screen once.
  say(words) {
    const said = `Phone ${this.number}: ${words.replace(/\s*\n\s*/g, ". ")}`;
    if (this.part("said").textContent !== said) this.part("said").textContent = said;
  }

  open(screen) { this.trail.push(this.screen); this.show(screen); }
  back() { const before = this.trail.pop(); this.show(before?.refreshes ? before.refreshes() : before ?? home(this)); }
  home() { this.trail = []; this.show(home(this)); }

  choose(field, takesFocus = true) {
    this.field = field;
    if (takesFocus) field.focus();
    this.reveal(field.node);
    this.showSofts();
  }

  get right() { return this.field?.value ? ["Clear", () => this.field.erase()] : this.screen.right; }

  showSofts() {
    this.part("soft-left").textContent = this.screen.left[0];
    this.part("soft-right").textContent = this.right[0];
    for (const [side, [word]] of [["left", this.screen.left], ["right", this.right]])
      this.root.querySelector(`[data-press=${side}]`).ariaLabel = word ? `${word} (${side} softkey)` : `${side} softkey`;
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
    else this.part("view").scrollBy(0, step * 60);
  }

  // --- what arrives ---

  async look() {
    if (this.looking || document.hidden) return;
    this.looking = true;
    try {
      this.notice(await this.keys.state());
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
    this.showLine();
    if (screen.isHome) this.home();
    else if (screen.refreshes) this.show(screen.refreshes());
  }

  signal(works, why = "") {
    this.part("signal").classList.toggle("none", !works);
    this.part("signal").ariaLabel = works ? "Signal is good" : "No signal";
    this.part("operator").textContent = works ? "Safari Net" : "No service";
    if (!works) this.toast(why);
  }

  toast(text) {
    this.part("toast").textContent = text.length > 150 ? `${text.slice(0, 147)}...` : text;
    this.part("toast").hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { this.part("toast").hidden = true; }, TOAST_MS);
  }

  tick() { this.part("clock").textContent = clock(); }

  // --- language and line ---

  askLanguage() {
    const { code } = document.body.dataset;
    if (this.screen.askLanguage) this.screen.askLanguage();
    else if (this.screen.session) this.toast("99 works in a menu. Go back with 0 first.");
    else dial(this, code.replace(/#$/, "*99#"));
  }

  speaks(language) { this.part("language").textContent = language || "not chosen yet"; }

  showLine() {
    const words = this.state.faults.map((fault) => `${fault.label} (${fault.used === 1 ? "once" : `${fault.used} times`} so far)`);
    this.part("line").hidden = !words.length;
    this.part("line").textContent = `Fault on this line: ${words.join("; ")}`;
  }

  // --- read and unread ---

  name(one) { return `${one.id}@${one.at}`; }
  hasRead(one) { return this.read.has(this.name(one)); }
  get unread() { return (this.state?.inbox ?? []).filter((one) => !this.hasRead(one)).length; }

  markRead(one) {
    this.read.add(this.name(one));
    localStorage.setItem(this.storage, JSON.stringify([...this.read].slice(-300)));
    this.part("toast").hidden = true;
    this.showMail();
  }

  showMail() {
    this.part("mail").hidden = !this.unread;
    this.part("mail").textContent = this.unread;
    this.part("mail").ariaLabel = `${this.unread} unread messages`;
  }
}

export async function switchOn(phone) {
  for (const key of phone.root.querySelectorAll("[data-press]")) {
    key.addEventListener("pointerdown", (event) => event.preventDefault()); // the answer line keeps the focus
    key.addEventListener("click", () => phone.press(key.dataset.press));
  }
  phone.part("ask-language").addEventListener("click", () => phone.askLanguage());
  phone.tick();
  try {
    phone.notice(await phone.keys.switchOn());
    phone.signal(true);
    if (phone.state.session?.open) phone.show(dialogue(phone, phone.state.session)); // the page was loaded again
  } catch (error) {
    phone.signal(false, error.message);
  }
}
