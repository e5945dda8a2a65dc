// Reads {name: diagram} as JSON from stdin, prints {name: what Mermaid's parser objects to}.
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
globalThis.Option = window.Option; // a box tries its colour on one
const { default: mermaid } = await import("mermaid");

const objections = {};
for (const [name, diagram] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  try {
    await mermaid.parse(diagram);
  } catch (error) {
    objections[name] = String(error);
  }
}
console.log(JSON.stringify(objections));
