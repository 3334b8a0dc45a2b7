// Text fields that take keypad and keyboard alike. Letters come by pressing a key several times.

const LETTERS = { 1: ".,?!'-1", 2: "abc2", 3: "def3", 4: "ghi4", 5: "jkl5", 6: "mno6", 7: "pqrs7", 8: "tuv8", 9: "wxyz9", 0: " 0" };
const SAME_LETTER_MS = 900;

export function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// On a touch screen the keypad is the keyboard; focus would raise a second one over it.
const hasKeyboard = matchMedia("(pointer: fine)").matches;

export class Field {
  constructor({ label, name, kind = "digits", value = "", rows = 0, max = 160 }) {
    this.name = name;
    this.kind = kind; // digits | secret | text (begins with abc) | answer (begins with 123)
    this.letters = kind === "text";
    this.input = el(rows ? "textarea" : "input", { value, name, maxLength: max, autocomplete: "off", spellcheck: false });
    if (rows) this.input.rows = rows;
    else this.input.type = kind === "secret" ? "password" : "text";
    this.input.inputMode = kind === "digits" || kind === "secret" ? "numeric" : "text";
    // Password managers must not offer to keep a wallet PIN.
    if (kind === "secret") this.input.autocomplete = "one-time-code";
    this.mode = el("em");
    this.node = el("label", { className: "field" }, el("span", {}, label, this.mode), this.input);
    this.last = { key: "", at: 0, turn: 0 };
    this.showMode();
  }

  get value() { return this.input.value; }
  get takesLetters() { return this.kind === "text" || this.kind === "answer"; }

  showMode() { this.mode.textContent = this.takesLetters ? (this.letters ? "abc" : "123") : ""; }

  focus() { if (hasKeyboard) this.input.focus({ preventScroll: true }); }

  press(key) {
    if (key === "#" && this.takesLetters) {
      this.letters = !this.letters;
      this.last.key = "";
      this.showMode();
    } else if (this.letters && LETTERS[key]) this.pressLetter(key);
    else if (/[0-9]/.test(key) || this.takesLetters) this.append(key);
  }

  pressLetter(key) {
    const now = performance.now();
    const again = key === this.last.key && now - this.last.at < SAME_LETTER_MS;
    const turn = again ? (this.last.turn + 1) % LETTERS[key].length : 0;
    if (again) this.erase();
    this.last = { key, at: now, turn };
    const begins = this.value === "" || this.value.endsWith(" ");
    const letter = LETTERS[key][turn];
    this.append(begins ? letter.toUpperCase() : letter);
  }

  append(text) {
    if (this.value.length < this.input.maxLength) this.input.value += text;
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  erase() {
    this.input.value = this.value.slice(0, -1);
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
