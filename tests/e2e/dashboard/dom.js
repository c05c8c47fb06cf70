// As much of a browser as the dashboard needs: run with `node dom.js ADDRESS STEPS.js`. The page is loaded from the monitor at
// ADDRESS and its script run; then STEPS, an async function body, with `page` to look and act. What it returns is printed as JSON.
"use strict";
const fs = require("fs");
const vm = require("vm");

class Element {
  constructor(tag) {
    Object.assign(this, { tagName: tag.toUpperCase(), children: [], className: "", hidden: false, value: "", checked: false });
    Object.assign(this, { parent: null, text: "", disabled: false, scrollTop: 0, clientHeight: 0, scrollHeight: 0 });
  }
  get textContent() {
    return this.text + this.children.map((c) => c.textContent).join("");
  }
  set textContent(text) {
    this.children = [];
    this.text = String(text);
  }
  adopt(child) {
    if (child instanceof Element) {
      child.remove();
      child.parent = this;
    }
    return child;
  }
  append(...what) {
    for (const child of what)
      if (this.adopt(child) instanceof Element) this.children.push(child);
      else this.text += child;
  }
  prepend(child) {
    this.children.unshift(this.adopt(child));
  }
  after(child) {
    this.parent.adopt(child);
    this.parent.children.splice(this.parent.children.indexOf(this) + 1, 0, child);
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((c) => c !== this);
    this.parent = null;
  }
  replaceChildren(...what) {
    this.textContent = "";
    this.append(...what);
  }
  focus() {
    document.activeElement = this;
  }
}

const address = process.argv[2];
const ids = new Map();
const document = {
  hidden: false,
  activeElement: new Element("body"),
  createElement: (tag) => new Element(tag),
  getElementById: (id) => {
    if (!ids.has(id)) throw new Error(`the page has no #${id}`);
    return ids.get(id);
  },
};

async function main() {
  const html = await (await fetch(address, { headers: { Accept: "text/html" } })).text();
  for (const [, tag, id] of html.matchAll(/<(\w+)[^>]*? id="(\w+)"/g)) ids.set(id, new Element(tag));
  const source = await (await fetch(new URL(/src="([^"]+)"/.exec(html)[1], address))).text();
  const posts = [];
  const globals = {
    document, URLSearchParams, TextDecoder, AbortController, console, setTimeout,
    Option: class extends Element {
      constructor(text) {
        super("option");
        this.textContent = text;
      }
    },
    fetch: (path, options = {}) => {
      if (options.method === "POST") posts.push(String(options.body));
      return fetch(new URL(path, address), { ...options, headers: { Origin: new URL(address).origin } });
    },
  };
  vm.runInNewContext(source, globals, { filename: "page.js" });

  const row = (name) => ids.get("rows").children.find((tr) => tr.children[1].textContent === name);
  const page = {
    posts,
    $: (id) => document.getElementById(id),
    names: () => ids.get("rows").children.filter((tr) => !tr.hidden).map((tr) => tr.children[1].textContent),
    cells: (name) => row(name) && row(name).children.slice(2).map((td) => td.textContent),
    choose: (name) => Object.assign(row(name).children[0].children[0], { checked: true }).onchange(),
    show: (name) => row(name).children[1].children[0].onclick(),
    press: (id, text) => ids.get(id).children.find((c) => c.textContent === text).onclick(),
    pick: (text) => {
      ids.get("more").value = text;
      ids.get("more").onchange();
    },
    key: (key) => document.onkeydown({ key, preventDefault() {} }),
    until: async (ready, what = ready) => {
      for (let i = 0; i < 1000; i++) {
        const found = ready();
        if (found) return found;
        await new Promise((done) => setTimeout(done, 10));
      }
      throw new Error(`still not: ${what}; output: ${ids.get("output").textContent}`);
    },
  };
  const Steps = Object.getPrototypeOf(async function () {}).constructor;
  const result = await new Steps("page", "console", fs.readFileSync(process.argv[3], "utf8"))(page, console);
  process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
