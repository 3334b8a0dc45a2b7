// What the phone can show. A screen has `build` -> node, two softkeys, and may take keys:
// { build(), left: [word, act], right: [word, act], fields: [Field], press(key), call(), end(), move(step) }

import { Field, el } from "./fields.js";

const ZONE = "Africa/Nairobi";
const at = (iso, style) => new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, ...style }).format(iso ? new Date(iso) : new Date());
export const clock = (iso) => at(iso, { hour: "2-digit", minute: "2-digit" });
const day = (iso) => at(iso, { day: "numeric", month: "short" });
const amount = (cents) => (cents / 100).toLocaleString("en-KE", { minimumFractionDigits: cents % 100 ? 2 : 0, maximumFractionDigits: 2 });
const setting = document.body.dataset;

const heading = (text) => el("h2", {}, text);

// --- building blocks ---

function list(phone, title, items, { left = "Select", none = "" } = {}) {
  let here = 0;
  const buttons = items.map(({ words, detail, unread, act }, index) =>
    el("button", { type: "button", className: unread ? "unread" : "", onclick: act, onfocus: () => mark(index) },
      ...(unread ? [el("span", { className: "unseen" }, "Unread: ")] : []), words, ...(detail ? [el("small", {}, detail)] : [])));
  const mark = (index) => {
    here = index;
    buttons.forEach((button, each) => {
      button.classList.toggle("here", each === index);
      button.ariaCurrent = each === index ? "true" : null;
    });
    phone.reveal(buttons[here]);
  };
  return {
    build: () => {
      const rows = el("ul", { className: "list" }, ...buttons.map((button) => el("li", {}, button)));
      queueMicrotask(() => mark(0));
      return el("div", {}, heading(title), items.length ? rows : el("p", { className: "empty" }, none));
    },
    left: items.length ? [left, () => items[here].act()] : ["", null],
    right: ["Back", () => phone.back()],
    move: (step) => items.length && mark((here + step + items.length) % items.length),
    press: (key) => items[Number(key) - 1]?.act(),
  };
}

function form(phone, { title, intro, fields, word, submit, className = "", cancel }) {
  const go = () => {
    const empty = fields.find((field) => !field.value.trim());
    return empty ? phone.choose(empty) : submit(Object.fromEntries(fields.map((field) => [field.name, field.value.trim()])));
  };
  return {
    fields,
    build: () => el("form", { className: `dialogue ${className}`, noValidate: true, onsubmit: (event) => { event.preventDefault(); go(); } },
      ...(title ? [heading(title)] : []), ...(intro ? [el("p", { className: "said" }, intro)] : []), ...fields.map((field) => field.node)),
    left: [word, go],
    right: ["Back", cancel ?? (() => phone.back())],
    call: go,
  };
}

function note(phone, title, text, { bad = false, next = () => phone.home() } = {}) {
  return {
    build: () => el("div", {}, ...(title ? [heading(title)] : []), el("p", { className: bad ? "said bad" : "said" }, text)),
    left: ["OK", next], right: ["", null], call: next,
  };
}

const busy = (words) => ({ build: () => el("div", { className: "busy" }, words), left: ["", null], right: ["", null] });

// Show a wait, do it, and show what came of it; a failure is a sentence on the screen.
async function during(phone, words, work, then) {
  phone.show(busy(words));
  try {
    then(await work());
  } catch (error) {
    phone.show(note(phone, "", error.message, { bad: true }));
  }
  phone.look();
}

// --- home and dialling ---

export function home(phone) {
  return {
    isHome: true,
    says: "Home screen",
    build: () => el("div", { className: "home" },
      el("span", { className: "time" }, clock()),
      el("span", { className: "date" }, at(null, { weekday: "long", day: "numeric", month: "long" })),
      el("p", { className: "owner" }, phone.state?.name && !phone.state.name.startsWith("SUBSCRIBER") ? phone.state.name : `+${phone.msisdn}`),
      el("p", { className: "hint" }, `Dial ${setting.code}`)),
    left: ["Menu", () => phone.open(menu(phone))],
    right: [phone.unread ? `Messages (${phone.unread})` : "Messages", () => phone.open(inbox(phone))],
    press: (key) => phone.open(dialling(phone, key)),
    call: () => phone.open(dialling(phone, setting.code)),
  };
}

export function dialling(phone, code) {
  const digits = el("p", { className: "digits" }, code);
  const erase = () => {
    code = code.slice(0, -1);
    digits.textContent = code;
    if (!code) phone.home();
  };
  return {
    build: () => el("div", {}, digits, el("p", { className: "empty" }, "Press the green key to call.")),
    left: ["Call", () => dial(phone, code)], right: ["Clear", erase],
    press: (key) => { code = (code + key).slice(0, 60); digits.textContent = code; },
    call: () => dial(phone, code), erase,
  };
}

// --- a USSD dialogue fills the screen ---

export const dial = (phone, code) => during(phone, "USSD code running...", () => phone.keys.dial(code), (session) => phone.show(dialogue(phone, session)));

const send = (phone, answer) => during(phone, "Sending...", () => phone.keys.answer(answer), (next) => phone.show(dialogue(phone, next)));

// 99 is a key of menus; to a question it would be the answer.
const isMenu = (text) => /^(1|98) /m.test(text);

export function dialogue(phone, session) {
  if (!session.open) return note(phone, "", session.text);
  const field = new Field({ label: "Answer", name: "answer", kind: "answer" });
  const hangUp = () => during(phone, "Ending...", () => phone.keys.hangUp(), () => phone.home());
  const screen = form(phone, {
    intro: session.text, fields: [field], word: "Send", cancel: hangUp,
    submit: ({ answer }) => send(phone, answer),
  });
  const askLanguage = () => send(phone, "99");
  return { ...screen, session: session.session_id, right: ["Cancel", hangUp], end: hangUp, ...(isMenu(session.text) && { askLanguage }) };
}

export const cutOff = (phone) => note(phone, "", "The network ended the session. Dial again to go on.", { bad: true });

// --- messages ---

const menu = (phone) => list(phone, "Menu", [
  { words: "1 Messages", detail: phone.unread ? `${phone.unread} unread` : "", act: () => phone.open(inbox(phone)) },
  { words: "2 Write a message", act: () => phone.open(compose(phone)) },
  { words: "3 Wallet", act: () => phone.open(wallet(phone)) },
  { words: "4 Pay a bill", act: () => phone.open(payBill(phone)) },
  { words: `5 Dial ${setting.code}`, act: () => dial(phone, setting.code) },
]);

export const inbox = (phone) => ({
  isInbox: true,
  refreshes: () => inbox(phone),
  ...list(phone, "Messages", [...(phone.state?.inbox ?? [])].reverse().map((one) => ({
    words: `${one.from}  ${day(one.at)} ${clock(one.at)}`, detail: one.text, unread: !phone.hasRead(one), act: () => phone.open(message(phone, one)),
  })), { left: "Read", none: "No messages yet." }),
});

function message(phone, one) {
  phone.markRead(one);
  return {
    build: () => el("div", {}, heading(`${one.from}, ${day(one.at)} ${clock(one.at)}`), el("p", { className: "said" }, one.text)),
    left: ["Reply", () => phone.open(compose(phone, one.from === "MPESA" ? "" : setting.sms))],
    right: ["Back", () => phone.back()],
  };
}

const compose = (phone, to = setting.sms) => form(phone, {
  title: "New message", word: "Send",
  fields: [new Field({ label: "To", name: "to", value: to, max: 20 }), new Field({ label: "Text", name: "text", kind: "text", rows: 4, max: 480 })],
  submit: ({ to: whom, text }) => during(phone, "Sending...", () => phone.keys.sendSms(whom, text), () => phone.show(note(phone, "", `Message sent to ${whom}.`))),
});

// --- the wallet ---

export const wallet = (phone) => ({
  refreshes: () => wallet(phone),
  build: () => el("div", {}, heading("Wallet"),
    el("p", { className: "balance" }, `KES ${amount(phone.state?.balance_cents ?? 0)}`),
    phone.state?.movements.length ? movements(phone.state.movements) : el("p", { className: "empty" }, "Nothing has moved yet.")),
  left: ["Pay a bill", () => phone.open(payBill(phone))],
  right: ["Back", () => phone.back()],
  move: (step) => phone.part("view").scrollBy(0, step * 60),
});

const movements = (all) => el("table", { className: "moves", ariaLabel: "Last movements" }, el("tbody", {}, ...all.slice(0, 8).map((one) =>
  el("tr", { className: one.direction },
    el("td", {}, one.party === "cash" ? "Cash" : one.party, el("small", {}, `${day(one.at)} ${clock(one.at)} · ${one.receipt_no}`)),
    el("td", {}, `${one.direction === "in" ? "+" : "\u2212"}${amount(one.amount_cents)}`)))));

const payBill = (phone) => form(phone, {
  title: "Pay a bill", word: "Pay",
  fields: [
    new Field({ label: "Business number", name: "paybill", value: setting.paybill, max: 12 }),
    new Field({ label: "Account number", name: "account", kind: "answer", max: 20 }),
    new Field({ label: "Amount (KES)", name: "amount", max: 9 }),
    new Field({ label: "Wallet PIN", name: "pin", kind: "secret", max: 6 }),
  ],
  submit: (bill) => during(phone, "Paying...", () => phone.keys.payBill(bill), (paid) => phone.show(paid.accepted
    ? note(phone, "Paid", `Receipt ${paid.receipt_no}. The wallet confirms by SMS.`)
    : note(phone, "Not paid", paid.reason, { bad: true }))),
});

// A payment request lies over whatever was on the screen until it is answered.
export function prompt(phone, one) {
  const field = new Field({ label: "Wallet PIN", name: "pin", kind: "secret", max: 6 });
  const done = (words, bad) => phone.show(note(phone, "Wallet", words, { bad }));
  const answering = async (work) => {
    phone.answered.add(one.id);
    try {
      return await work();
    } catch (error) {
      phone.answered.delete(one.id);
      throw error;
    }
  };
  const refuse = () => during(phone, "Cancelling...", () => answering(() => phone.keys.refuse(one.id)), () => done("You cancelled the payment."));
  const screen = form(phone, {
    title: "Wallet", intro: one.text, fields: [field], word: "Pay", cancel: refuse, className: "prompt",
    submit: ({ pin }) => during(phone, "Paying...", () => answering(() => phone.keys.approve(one.id, pin)),
      (result) => (result.accepted ? done("Payment sent. The wallet confirms by SMS.") : done("Not paid: wrong wallet PIN.", true))),
  });
  return { ...screen, prompt: one.id, right: ["Cancel", refuse], end: refuse };
}
