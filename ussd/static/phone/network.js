// The keys as HTTP. Every call answers with JSON or throws an Error with a sentence in it.

const token = document.querySelector("[name=csrfmiddlewaretoken]").value;

async function call(method, address, body) {
  let response;
  try {
    response = await fetch(address, {
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

// The keys of one phone; `base` is its address.
export const keysOf = (base) => ({
  state: () => call("GET", base),
  switchOn: () => call("POST", `${base}/on`, {}),
  dial: (code) => call("POST", `${base}/dial`, { code }),
  answer: (text) => call("POST", `${base}/input`, { text }),
  hangUp: () => call("POST", `${base}/hangup`, {}),
  approve: (id, pin) => call("POST", `${base}/prompts/${id}`, { pin }),
  refuse: (id) => call("POST", `${base}/prompts/${id}`, { cancel: true }),
  sendSms: (to, text) => call("POST", `${base}/sms`, { to, text }),
  payBill: (bill) => call("POST", `${base}/paybill`, bill),
  breakLine: (fault) => call("POST", `${base}/faults`, fault),
});

export const wire = (phones, after) => call("GET", `${document.body.dataset.wire}?phones=${phones.join(",")}&after=${after}`);
