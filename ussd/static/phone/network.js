// The keys as HTTP. Every call answers with JSON or throws an Error with a sentence in it.

const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
const base = document.body.dataset.api;

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(base + path, {
      method,
      headers: { "Content-Type": "application/json", "X-CSRFToken": token },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("Jirani's web server does not answer.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The network refused (${response.status}).`);
  return answer;
}

export const network = {
  state: () => call("GET", ""),
  switchOn: () => call("POST", "/on", {}),
  dial: (code) => call("POST", "/dial", { code }),
  answer: (text) => call("POST", "/input", { text }),
  hangUp: () => call("POST", "/hangup", {}),
  approve: (id, pin) => call("POST", `/prompts/${id}`, { pin }),
  refuse: (id) => call("POST", `/prompts/${id}`, { cancel: true }),
  sendSms: (to, text) => call("POST", "/sms", { to, text }),
  payBill: (bill) => call("POST", "/paybill", bill),
};
