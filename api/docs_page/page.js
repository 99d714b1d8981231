// Shows the document of the server that this page came from. All addresses are relative to the page.
"use strict";

const KEY = "Idempotency-Key";

// The server of the page, whatever path a proxy has put before it.
const server = new URL(".", window.location.href).href.replace(/\/$/, "");

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// "Try it out" speaks to that server, with a new key each time: the key of the document is an example.
function withNewKey(request, exampleKey) {
  for (const name of Object.keys(request.headers || {})) {
    if (name.toLowerCase() === KEY.toLowerCase() && request.headers[name] === exampleKey) {
      request.headers[name] = newKey();
    }
  }
  return request;
}

function exampleKeyOf(document) {
  for (const operations of Object.values(document.paths)) {
    for (const operation of Object.values(operations)) {
      const header = (operation.parameters || []).find((one) => one.name === KEY);
      if (header) return header.example;
    }
  }
  return undefined;
}

async function show() {
  const answer = await fetch("openapi.json");
  const document = await answer.json();
  const exampleKey = exampleKeyOf(document);
  SwaggerUIBundle({
    spec: { ...document, servers: [{ url: server }] },
    dom_id: "#reference",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    showCommonExtensions: true,
    validatorUrl: null, // by default it asks validator.swagger.io
    requestInterceptor: (request) => withNewKey(request, exampleKey),
  });
}

show().catch((error) => {
  document.getElementById("reference").textContent = `openapi.json cannot be shown: ${error}`;
});
