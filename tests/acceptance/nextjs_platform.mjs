// Plays a browser and a customer on the route handlers of docs/how-to/nextjs.md: test_nextjs.py puts
// this file beside them. Prints one JSON object: what each step came to.
import { POST as order } from "./app/api/orders/route.js";
import { POST as verify } from "./app/api/orders/verify/route.js";
import { GET as status } from "./app/api/orders/[order]/route.js";
import { POST as assistant } from "./app/api/assistant/route.js";
import { pay } from "./lib/checkout.js";

const [account, poor, simulator] = process.argv.slice(2);
const outside = globalThis.fetch;
const keys = [];
let lost = 0;
let halves = 0;
let refusals = 0;

// What the browser asks of its own site goes to the handler; what the server asks goes out.
globalThis.fetch = async (url, init = {}) => {
  if (url === "/api/orders/verify") return verify(request(init.body));
  keys.push(init.headers?.["Idempotency-Key"] ?? null);
  const answer = await outside(url, init);
  if (lost > 0) {
    lost -= 1;
    throw new TypeError("fetch failed"); // as node says it: done, but nobody hears of it
  }
  if (halves > 0) {
    halves -= 1;
    const half = (stream) => { stream.enqueue(new TextEncoder().encode('{"hold_id"')); stream.error(new TypeError("terminated")); };
    return new Response(new ReadableStream({ start: half }), answer);
  }
  if (refusals > 0) {
    refusals -= 1;
    const busy = { type: "urn:problem-type:billing:too-many-requests", status: 429 };
    return Response.json(busy, { status: 429, headers: { "Retry-After": "0.01" } });
  }
  return answer;
};

// Stands for the script of Checkout: the customer pays at once.
class Razorpay {
  constructor(options) {
    this.options = options;
  }

  async open() {
    const answer = await outside(`${simulator}/simulator/pay`, {
      method: "POST",
      body: JSON.stringify({ order_id: this.options.order_id }),
    });
    this.options.handler(await answer.json());
  }
}

function request(body, of = account) {
  const text = typeof body === "string" ? body : body && JSON.stringify(body);
  return new Request("http://shop.test/", {
    method: body ? "POST" : "GET", body: text, headers: { "X-Demo-Account": of },
  });
}

async function read(answer) {
  answer = await answer;
  return { status: answer.status, ...(await answer.json()) };
}

const seen = {};
const wanted = { purchase: "p-1", package: "credits_5000" };
seen.ordered = await read(order(request(wanted)));
seen.orderedAgain = await read(order(request(wanted)));
const params = Promise.resolve({ order: seen.ordered.order_id });
seen.open = await read(status(request(), { params }));
seen.result = await pay(seen.ordered, { shop: "City Clinic", Razorpay });
seen.paid = await read(status(request(), { params }));
seen.ofAnother = await read(status(request(null, poor), { params }));

seen.answered = await read(assistant(request({ question: "How many?", key: "q-1" })));
seen.answeredAgain = await read(assistant(request({ question: "How many?", key: "q-1" })));
lost = 1;
seen.answerLost = await read(assistant(request({ question: "And now?", key: "q-2" })));
halves = 1;
seen.answerCut = await read(assistant(request({ question: "And then?", key: "q-6" })));
refusals = 4;
seen.busy = await read(order(request({ purchase: "p-4", package: "credits_5000" })));
seen.failed = await assistant(request({ question: "", key: "q-3" })).catch((error) => error.message);
seen.tooPoor = await read(assistant(request({ question: "Me too?", key: "q-4" }, poor)));
seen.unknownAccount = await read(assistant(request({ question: "Me?", key: "q-5" }, "clinic:no")));
seen.wrongField = await read(order(request({ purchase: "p-2", package: "credits_7" })));

const logged = [];
console.error = (line) => logged.push(line);
process.env.BILLING_API_KEY = "wrong";
seen.wrongKey = await read(order(request({ purchase: "p-3", package: "credits_5000" })));
seen.logged = logged;
seen.keysOfLost = keys.filter((key) => key === "ask-q-2").length;
console.log(JSON.stringify(seen));
