// The page: two phones, whose turn at the keyboard it is, and what stands beside them.

import { showFaults } from "./line.js";
import { Log } from "./log.js";
import { Phone, switchOn } from "./phone.js";
import { dialling } from "./screens.js";

const LOOK_MS = 1200;
const KEYS = { Enter: "left", Escape: "end", ArrowUp: "up", ArrowDown: "down", Backspace: "right" };
const byId = (id) => document.getElementById(id);

let typed = null; // the phone that was used last
const phones = [...document.querySelectorAll(".phone")].map((root) => new Phone(root, (phone) => phone === typed));
const phoneAt = (node) => phones.find((phone) => phone.root.contains(node));

function typeInto(phone) {
  if (!phone || phone === typed) return;
  typed = phone;
  for (const each of phones) each.root.classList.toggle("typed", each === phone);
}

// A key on the picture takes no focus; but what is typed next must not go to the other phone.
function touch(phone) {
  if (!phone || phone === typed) return;
  typeInto(phone);
  if (phones.some((each) => each !== phone && each.root.contains(document.activeElement))) phone.takeFocus();
}

// --- the keyboard of the machine ---

function onKeyDown(event) {
  const { target } = event;
  const phone = target === document.body ? typed : phoneAt(target);
  if (!phone || event.ctrlKey || event.metaKey || event.altKey) return;
  const isDigit = /^[0-9*#]$/.test(event.key);
  const key = isDigit ? event.key : KEYS[event.key];
  if (!key) return;
  const typing = target.matches("input, textarea");
  if (typing && (isDigit || event.key === "Backspace")) return;
  if (event.key === "Enter" && target.matches("button")) return;
  event.preventDefault();
  if (event.key === "Enter" && typing) {
    const { fields } = phone.screen;
    const next = fields[fields.indexOf(phone.field) + 1];
    return next ? phone.choose(next) : phone.press("left");
  }
  if (event.key === "Backspace") return phone.screen.erase?.() ?? phone.field?.erase();
  phone.press(key);
}

// --- big type, remembered ---

function bigType(on) {
  document.documentElement.classList.toggle("big", on);
  byId("big-type").ariaPressed = String(on);
  byId("big-type").textContent = `Big type: ${on ? "on" : "off"}`;
  localStorage.setItem("jirani-big-type", on ? "1" : "");
}

async function start() {
  bigType(localStorage.getItem("jirani-big-type") === "1");
  byId("big-type").addEventListener("click", () => bigType(byId("big-type").ariaPressed !== "true"));
  document.addEventListener("keydown", onKeyDown);
  document.addEventListener("focusin", (event) => typeInto(phoneAt(event.target)));
  document.addEventListener("pointerdown", (event) => touch(phoneAt(event.target)));
  typeInto(phones[0]);
  byId("dial-now").addEventListener("click", () => typed.open(dialling(typed, document.body.dataset.code)));
  showFaults(phones);
  const log = new Log(phones);
  await Promise.all(phones.map(switchOn));
  setInterval(() => phones.forEach((phone) => phone.tick()), 5000);
  setInterval(() => { phones.forEach((phone) => phone.look()); log.look(); }, LOOK_MS);
  log.look();
}

start();
