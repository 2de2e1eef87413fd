"use strict";
(() => {
  const parsed = (id) => JSON.parse(document.getElementById(id).textContent);
  const byId = (id) => document.getElementById(id);
  const { metadata, example, jobs } = parsed("data");
  const connection = parsed("connection");
  const SHOWN_COLUMNS = 24, SHOWN_ROWS = 100, FIELDS = 64;
  const SLOW_MS = 10000, POLL_MS = 2000;
  const here = location.pathname.replace(/\/docs\/?$/, "");
  const models = here.slice(0, here.indexOf("/v2/models/") + "/v2/models/".length);

  // Sets text as text, never as markup, since names of a model are untrusted.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return element;
  };
  const product = (sizes) => sizes.reduce((total, size) => total * size, 1);
  const isText = (type) => type === "BYTES";
  // A model of sentences: its only input has one text for each row, which may have several lines.
  const isProse = (spec) => isText(spec.datatype) && spec.shape.length === 1 && metadata.inputs.length === 1;
  const isInteger = (type) => /^U?INT/.test(type);
  const takesPictures = (spec) => Boolean(spec.parameters && spec.parameters.content === "image");
  const isTabular = (spec) =>
    !takesPictures(spec) && spec.shape.length > 0 && spec.shape[0] === -1 && spec.shape.slice(1).every((n) => n > 0) &&
    product(spec.shape.slice(1)) <= FIELDS;
  const tabular = metadata.inputs.filter(isTabular);
  const free = metadata.inputs.filter((spec) => !isTabular(spec) && !takesPictures(spec));
  const [pictures] = metadata.inputs.filter(takesPictures).map((spec) => picturesOf(make, spec, example, () => drawCalls()));
  const columns = tabular.flatMap((spec) => {
    const width = product(spec.shape.slice(1));
    const named = metadata.inputs.length === 1 ? metadata.parameters.columns || [] : [];
    const name = (i) => named[i] ?? (width > 1 ? `${spec.name}[${i}]` : spec.name);
    return Array.from({ length: width }, (_, i) => ({ spec, i, width, name: name(i) }));
  });
  const given = (spec) => example.find((tensor) => tensor.name === spec.name);
  let rows = [];

  function exampleRows() {
    const counts = tabular.map((spec) => (given(spec) ? given(spec).shape[0] : 0));
    const count = Math.max(1, ...counts);
    return Array.from({ length: count }, (_, row) =>
      columns.map(({ spec, i, width }) => {
        const value = given(spec) ? given(spec).data[row * width + i] : undefined;
        return value === undefined || value === null ? "" : String(value);
      }));
  }

  function field({ spec }, value, label) {
    let element;
    if (spec.datatype === "BOOL") {
      element = make("select", {}, make("option", { value: "true" }, "true"), make("option", { value: "false" }, "false"));
      element.value = value === "true" ? "true" : "false";
    } else if (isProse(spec)) {
      element = make("textarea", { class: "prose" });
      element.value = value;
    } else {
      element = make("input", { type: "text", autocomplete: "off", spellcheck: "false", ...(isText(spec.datatype) ? {} : { inputmode: "decimal" }) });
      element.value = value;
    }
    element.setAttribute("aria-label", label);
    return element;
  }

  const valid = (element) => { for (const name of ["aria-invalid", "aria-describedby"]) element.removeAttribute(name); };

  function drawFields() {
    const parts = [];
    if (columns.length) {
      const body = make("tbody");
      columns.forEach((column, c) => {
        const line = make("tr", {}, make("th", { scope: "row" }, column.name));
        rows.forEach((row, r) => {
          const input = field(column, row[c], `${column.name}, row ${r + 1}`);
          input.addEventListener("input", () => { row[c] = input.value; valid(input); drawCalls(); });
          input.dataset.cell = `${r},${c}`;
          line.append(make("td", {}, input));
        });
        body.append(line);
      });
      const head = make("tr", {}, make("th", { scope: "col" }, "Input"), ...rows.map((_, r) => make("th", { scope: "col" }, `Row ${r + 1}`)));
      parts.push(make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), body)));
    }
    for (const spec of free) {
      const id = `input-${metadata.inputs.indexOf(spec)}`;
      const old = byId(id);
      const area = make("textarea", { id, spellcheck: "false", "data-free": spec.name });
      const tensor = given(spec);
      const text = tensor ? JSON.stringify(nested(tensor.data, tensor.shape)) : "[]";
      area.value = old ? old.value : isInteger(spec.datatype) ? text.replaceAll('"', "") : text;
      area.addEventListener("input", () => { valid(area); drawCalls(); });
      parts.push(make("label", { for: id }, `${spec.name} (${spec.datatype} ${JSON.stringify(spec.shape)}, as nested lists)`), area);
    }
    if (pictures) parts.push(pictures.field);
    byId("fields").replaceChildren(...parts);
    for (const id of ["add", "remove"]) byId(id).hidden = !columns.length;
    byId("remove").disabled = rows.length < 2;
    drawCalls();
  }

  function nested(data, shape) {
    if (shape.length < 2) return shape.length ? data : data[0];
    const size = product(shape.slice(1));
    return Array.from({ length: shape[0] }, (_, i) => nested(data.slice(i * size, (i + 1) * size), shape.slice(1)));
  }

  function shapeOf(value) {
    return Array.isArray(value) ? [value.length, ...(value.length ? shapeOf(value[0]) : [])] : [];
  }

  // Not written by JSON.stringify, so that a 64-bit integer keeps all its digits.
  function literal(type, text, name) {
    if (isText(type)) return JSON.stringify(text);
    const word = text.trim();
    if (type === "BOOL") return word === "true" ? "true" : "false";
    if (isInteger(type)) {
      if (!/^-?\d+$/.test(word)) throw Object.assign(new Error(`${name} must be a whole number, not "${text}".`), { name });
      return word.replace(/^(-?)0+(?=\d)/, "$1");
    }
    if (word === "" || /^nan$/i.test(word)) return "null";
    if (!Number.isFinite(Number(word))) throw new Error(`${name} must be a number, not "${text}".`);
    return String(Number(word));
  }

  function tensors() {
    return metadata.inputs.map((spec) => {
      if (takesPictures(spec)) return pictures.tensor();
      if (isTabular(spec)) {
        const mine = columns.map((column, c) => [column, c]).filter(([column]) => column.spec === spec);
        const values = rows.flatMap((row, r) => mine.map(([column, c]) => {
          try { return literal(spec.datatype, row[c], `${column.name}, row ${r + 1},`); }
          catch (error) { error.cell = `${r},${c}`; throw error; }
        }));
        return { spec, shape: [rows.length, ...spec.shape.slice(1)], text: `[${values.join(", ")}]` };
      }
      const area = byId(`input-${metadata.inputs.indexOf(spec)}`);
      let value;
      try { value = JSON.parse(area.value); } catch (error) { throw Object.assign(new Error(`${spec.name} is not valid JSON: ${error.message}`), { area }); }
      // The protocol requires a list even for a single value, whose shape is [].
      return { spec, shape: shapeOf(value), text: Array.isArray(value) ? area.value.trim() : `[${area.value.trim()}]` };
    });
  }

  // The protocol has no JSON form for half floats (FP16), so they are sent and received as bytes after the JSON.
  const LENGTH = "inference-header-content-length";
  const isHalf = (spec) => spec.datatype === "FP16";
  const hasHalves = [...metadata.inputs, ...metadata.outputs].some(isHalf);

  function requestText(parts) {
    const inputs = parts.map(({ spec, shape, text }) => {
      const data = isHalf(spec) ? `"parameters": {"binary_data_size": ${2 * product(shape)}}` : `"data": ${text}`;
      return `{"name": ${JSON.stringify(spec.name)}, "shape": ${JSON.stringify(shape)}, "datatype": "${spec.datatype}", ${data}}`;
    });
    const outputs = metadata.outputs.map((spec) => ({ name: spec.name, parameters: { binary_data: isHalf(spec) } }));
    return `{"inputs": [${inputs.join(", ")}]${hasHalves ? `, "outputs": ${JSON.stringify(outputs)}` : ""}}`;
  }

  // Returns the bits of the nearest half float; rounds half to even.
  function toHalf(value) {
    if (value === null) return 0x7e00;
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0, size = Math.abs(value);
    if (size >= 65520) return sign | 0x7c00;
    const exponent = Math.max(-14, Math.floor(Math.log2(size)));
    const scaled = size / 2 ** (exponent - 10), down = Math.floor(scaled), rest = scaled - down;
    return sign | (((exponent + 14) << 10) + down + (rest > 0.5 || (rest === 0.5 && down % 2) ? 1 : 0));
  }

  function fromHalf(bits) {
    const exponent = (bits >> 10) & 31, part = bits & 1023;
    const size = exponent === 31 ? (part ? NaN : Infinity) : exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : part * 2 ** -24;
    return Number.isNaN(size) ? null : bits & 0x8000 ? -size : size;
  }

  function requestOf(parts) {
    const text = requestText(parts);
    if (!hasHalves) return { headers: { "content-type": "application/json" }, body: text };
    const head = new TextEncoder().encode(text);
    const halves = parts.filter(({ spec }) => isHalf(spec)).flatMap((part) => [JSON.parse(part.text)].flat(Infinity).map(toHalf));
    const body = new Uint8Array(head.length + 2 * halves.length);
    body.set(head);
    const tail = new DataView(body.buffer, head.length);
    halves.forEach((bits, i) => tail.setUint16(2 * i, bits, true));
    return { headers: { "content-type": "application/octet-stream", [LENGTH]: String(head.length) }, body };
  }

  // Keeps an integer as text if a number would lose digits, as for 64-bit integers.
  const exactly = (_, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context && context.source && /^-?\d+$/.test(context.source)
      ? context.source : value;

  // Returns the text of a response, and its document with the bytes after the JSON as numbers.
  async function read(response) {
    const bytes = await response.arrayBuffer();
    const end = Number(response.headers.get(LENGTH) ?? bytes.byteLength);
    const text = new TextDecoder().decode(bytes.slice(0, end));
    let answer = null;
    try { answer = JSON.parse(text, exactly); } catch { /* not JSON: the text is shown instead */ }
    const tail = new DataView(bytes, end);
    let place = 0;
    for (const tensor of (answer && answer.outputs) || []) {
      if (!tensor.parameters || !tensor.parameters.binary_data_size) continue;
      tensor.data = Array.from({ length: product(tensor.shape) }, () => { place += 2; return fromHalf(tail.getUint16(place - 2, true)); });
      delete tensor.parameters;
    }
    return { text, answer, raw: answer ? readable(text, answer, place > 0) : text };
  }

  // Indents JSON, unless that would lose digits of an integer.
  function readable(text, answer, hasBytes) {
    if (hasBytes) return JSON.stringify(answer, null, 2);
    const numbers = text.match(/(?<![\d.])-?\d{16,}(?![\d.eE])/g) || [];
    return numbers.some((word) => !Number.isSafeInteger(Number(word))) ? text : JSON.stringify(answer, null, 2);
  }

  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const dtypes = { BOOL: "bool", FP16: "float16", FP32: "float32", FP64: "float64", BYTES: "object" };
  const python = (text) => text.replace(/"(?:[^"\\]|\\.)*"|\b(?:null|true|false)\b/g,
    (word) => ({ null: "float('nan')", true: "True", false: "False" }[word] || word));

  function drawCalls() {
    let parts;
    try { parts = tensors(); } catch (error) {
      for (const id of ["shell", "python"]) byId(id).textContent = `# ${error.message}`;
      return;
    }
    const body = requestText(parts);
    const invoked = connection && connection.function;
    const url = connection && connection.api ? `${connection.api}${here.slice(here.indexOf("/v2/models/"))}` : `${location.origin}${here}`;
    if (hasHalves) {
      byId("shell").textContent = "# FP16 tensors are sent as bytes, which a shell command cannot contain. Use Python.";
    } else if (invoked && pictures) {
      byId("shell").textContent = `shearling invoke ${connection.function} --images ${pictures.names().map(quoted).join(" ")}`;
    } else if (invoked) {
      byId("shell").textContent = `aws lambda invoke --function-name ${quoted(connection.function)} --cli-binary-format raw-in-base64-out --payload ${quoted(body)} /dev/stdout`;
    } else {
      const signed = connection && connection.region
        ? ` \\\n  --aws-sigv4 "aws:amz:${connection.region}:execute-api" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\\n  \${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"}` : "";
      const what = pictures ? `-H 'content-type: image/jpeg' --data-binary ${quoted(`@${pictures.names()[0]}`)}`
        : `-H 'content-type: application/json' -d ${quoted(body)}`;
      byId("shell").textContent = `curl -sS ${quoted(`${url}/infer`)}${signed} \\\n  ${what}`;
    }
    const version = /\/versions\/([^/]+)$/.exec(here);
    const base = url.slice(0, url.indexOf("/v2/models/"));
    const auth = connection && connection.region ? `, auth="iam", region=${JSON.stringify(connection.region)}` : "";
    const target = invoked ? JSON.stringify(connection.function)
      : `${JSON.stringify(base)}, model=${JSON.stringify(metadata.name)}${version ? `, alias=${JSON.stringify(decodeURIComponent(version[1]))}` : ""}${auth}`;
    if (pictures) {
      byId("python").textContent = `import shearling as sdk\n\nmodel = sdk.connect(${target})\noutputs = model.infer(${JSON.stringify(pictures.names())})`;
      return;
    }
    const arrays = parts.map(({ spec, shape, text }) =>
      `    ${JSON.stringify(spec.name)}: np.array(${python(text)}, "${dtypes[spec.datatype] || spec.datatype.toLowerCase()}").reshape(${JSON.stringify(shape)}),`);
    byId("python").textContent = `import numpy as np\nimport shearling as sdk\n\nmodel = sdk.connect(${target})\noutputs = model.infer({\n${arrays.join("\n")}\n})`;
  }

  const MEANINGS = {
    0: ["No response", "The server cannot be reached. If you use `shearling open`, check that it is still running."],
    400: ["Invalid input", "Correct the field that the message names, and send again."],
    401: ["Not authenticated", "This API requires a token or a signature. Open this page with `shearling open`, which adds yours."],
    403: ["Not permitted", "Your credentials do not permit you to call this model."],
    404: ["Not found", "This function does not serve this version or alias any more."],
    413: ["Too large", "Send fewer rows."],
    429: ["Too many requests", "Wait a moment and send again."],
    503: ["Not ready", "Wait until a version is released, and send again."],
    504: ["Out of time", "Send fewer rows, or raise the function's `memory_mb` or `timeout_seconds`."],
  };

  function fail(status, message) {
    const [title, advice] = MEANINGS[status] || (status >= 500 ? ["The model failed", "See the function's log for the cause."] : [`Refused (${status})`, ""]);
    byId("error").replaceChildren(
      make("p", {}, make("strong", {}, status ? `${title} (${status})` : title)), make("p", {}, message), ...(advice ? [make("p", { class: "quiet" }, advice)] : []));
    byId("answer").hidden = true;
  }

  const number = (value) => typeof value === "number" ? (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)))) : value === null ? "–" : String(value);

  function table(head, lines, caption) {
    const numeric = head.map((_, c) => lines.every((line) => typeof line[c] === "number" || line[c] === null));
    const mark = (c) => (numeric[c] ? { class: "number" } : {});
    return make("table", {}, make("caption", { class: "hidden" }, caption),
      make("thead", {}, make("tr", {}, ...head.map((name, c) => make("th", { scope: "col", ...mark(c) }, name)))),
      make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map((value, c) => make("td", mark(c), number(value)))))));
  }

  // Returns the names of an output's columns: its classes, or their places.
  function columnNames({ name, shape }, width) {
    const spec = metadata.outputs.find((output) => output.name === name);
    const classes = ((spec && spec.parameters) || {}).classes || [];
    const ofTargets = Array.isArray(classes[0]);
    const fits = ofTargets ? shape.length === 3 && shape[1] === classes.length && classes.every((target) => target.length === shape[2])
      : shape.length === 2 && shape[1] === classes.length;
    if (classes.length && fits) return classes.flatMap((value, i) => ofTargets ? value.map((each) => `${name}[${i}][${each}]`) : [`${name}[${value}]`]);
    return Array.from({ length: width }, (_, i) => (width > 1 ? `${name}[${i}]` : name));
  }

  // Returns the pictures that were sent with their top classes; nothing if no output has columns.
  function pictureAnswers(document, sent) {
    const isWide = ({ shape }) => shape.length === 2 && shape[1] > 1;
    const classesOf = ({ name }) => ((metadata.outputs.find((output) => output.name === name) || {}).parameters || {}).classes || [];
    const wide = document.outputs.filter(isWide);
    const best = wide.find((tensor) => classesOf(tensor).length) || wide[0];
    return pictures && best ? [pictures.answers(sent, best, classesOf(best))] : [];
  }

  function drawAnswer(document, sent) {
    const outputColumns = document.outputs.flatMap((tensor) => {
      const flat = tensor.data.flat(Infinity);
      const width = product(tensor.shape.slice(1));
      const names = columnNames(tensor, width);
      return Array.from({ length: Math.min(width, SHOWN_COLUMNS) }, (_, i) => ({
        name: names[i],
        values: Array.from({ length: Math.min(width ? flat.length / width : 0, SHOWN_ROWS) }, (_, r) => flat[r * width + i]),
      }));
    });
    const count = Math.max(0, ...outputColumns.map((column) => column.values.length));
    const lines = Array.from({ length: count }, (_, r) => [r + 1, ...outputColumns.map((column) => column.values[r] ?? "")]);
    const allRows = Math.max(0, ...document.outputs.map((tensor) => tensor.shape[0] ?? 1));
    const allColumns = document.outputs.reduce((total, tensor) => total + product(tensor.shape.slice(1)), 0);
    const cut = [[count, allRows, "rows"], [outputColumns.length, allColumns, "columns"]].filter(([shown, all]) => shown < all)
      .map(([shown, all, what]) => `the first ${shown} of ${all} ${what}`);
    byId("answer").replaceChildren(
      ...pictureAnswers(document, sent),
      table(["Row", ...outputColumns.map((column) => column.name)], lines, "Outputs, a line for each row"),
      ...(cut.length ? [make("p", { class: "quiet" }, `Showing ${cut.join(" and ")}. The raw response has all values.`)] : []));
    byId("answer").hidden = false;
  }

  async function send() {
    let parts;
    byId("error").replaceChildren();
    byId("raw").hidden = true;
    try { parts = tensors(); } catch (error) {
      const bad = error.area || document.querySelector(`[data-cell="${error.cell}"]`);
      byId("state").textContent = "Not sent.";
      fail(400, error.message);
      if (bad) { bad.setAttribute("aria-invalid", "true"); bad.setAttribute("aria-describedby", "error"); bad.focus(); }
      return;
    }
    // Not `disabled`, which would remove the focus.
    if (byId("send").ariaDisabled === "true") return;
    byId("send").ariaDisabled = "true";
    byId("state").textContent = "Sending …";
    const sent = pictures ? pictures.sent() : [];
    const started = performance.now();
    try {
      const response = await fetch(`${here}/infer`, { method: "POST", credentials: "same-origin", ...requestOf(parts) });
      const { text, answer, raw } = await read(response);
      const ms = performance.now() - started;
      byId("raw-text").textContent = raw;
      byId("raw").hidden = false;
      const took = `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
      if (response.ok && answer && answer.outputs) {
        drawAnswer(answer, sent);
        const cut = (answer.parameters && answer.parameters.truncated) || 0;
        const note = cut ? ` ${cut === 1 ? "1 text was" : `${cut} texts were`} longer than the model reads.` : "";
        byId("state").textContent = `Answered by version ${answer.model_version} in ${took}.${note}`;
      } else {
        byId("state").textContent = `Error after ${took}.`;
        fail(response.status, (answer && (answer.error || answer.message)) || text.slice(0, 500) || response.statusText);
      }
    } catch (error) {
      byId("state").textContent = "No response.";
      fail(0, error.message);
    } finally {
      byId("send").ariaDisabled = null;
      if (jobs && performance.now() - started > SLOW_MS) byId("later").hidden = false;
    }
  }

  // Sends the form as a job, and asks for it until it is done. The result's URL may be of another host, to which this page
  // may link but not connect.
  async function runLater() {
    if (byId("run-later").ariaDisabled === "true") return;
    byId("run-later").ariaDisabled = "true";
    const shown = (...parts) => byId("job").replaceChildren(...parts);
    try {
      const request = requestOf(tensors());
      let response = await fetch(`${here}/infer`, { method: "POST", credentials: "same-origin", ...request, headers: { ...request.headers, prefer: "respond-async" } });
      let job = await response.json();
      while (response.ok && job.status === "queued") {
        shown(`Job ${job.id} is queued …`);
        await new Promise((done) => setTimeout(done, POLL_MS));
        response = await fetch(`${here}/jobs/${job.id}`, { credentials: "same-origin" });
        job = await response.json();
      }
      if (response.ok && job.result) shown(`Answered by version ${job.model_version}. `, make("a", { href: job.result.url, download: "" }, "Download the result"));
      else shown(job.error || job.message || response.statusText);
    } catch (error) { shown(error.message); } finally { byId("run-later").ariaDisabled = null; }
  }

  function drawVersions(entries) {
    const named = new Map();
    for (const entry of entries) for (const alias of entry.aliases || []) named.set(alias, entry.version);
    const current = /\/versions\/([^/]+)$/.exec(here);
    byId("versions").replaceChildren(...[...named].map(([alias, version]) =>
      make("a", { href: `${models}${encodeURIComponent(metadata.name)}/versions/${encodeURIComponent(alias)}/docs`, ...(current && decodeURIComponent(current[1]) === alias ? { "aria-current": "page" } : {}) },
        version ? `${alias}: version ${version}` : `${alias}: no version yet`)));
  }

  // Lists the other versions, if the API has an index.
  async function loadIndex() {
    if (connection && connection.function) return;
    try {
      const response = await fetch(`${models.replace(/models\/$/, "")}repository/index`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
      if (response.ok) drawVersions((await response.json()).filter((entry) => entry.name === metadata.name));
    } catch { /* the form works without the index */ }
  }

  byId("name").textContent = metadata.name;
  byId("facts").textContent = `Version ${metadata.versions.join(", ")} · ${metadata.platform}${metadata.alias ? ` · alias ${metadata.alias}` : ""}`;
  const lines = ["inputs", "outputs"].flatMap((role) => metadata[role].map((spec) => [role.slice(0, -1), spec.name, spec.datatype, `[${spec.shape.join(", ")}]`]));
  byId("signature").append(table(["Role", "Name", "Datatype", "Shape"], lines, "Inputs and outputs"));
  if (metadata.alias) byId("versions").append(make("span", { "aria-current": "page" }, `${metadata.alias}: version ${metadata.versions[0]}`));

  byId("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  byId("run-later").addEventListener("click", runLater);
  byId("add").addEventListener("click", () => { rows.push([...rows[rows.length - 1]]); drawFields(); });
  byId("remove").addEventListener("click", () => { rows.pop(); drawFields(); });
  byId("reset").addEventListener("click", () => { byId("fields").replaceChildren(); rows = exampleRows(); if (pictures) pictures.reset(); drawFields(); });
  for (const button of document.querySelectorAll("[data-copy]")) {
    const words = [...button.childNodes];
    button.addEventListener("click", async () => {
      const text = byId(button.dataset.copy);
      try { await navigator.clipboard.writeText(text.textContent); } catch { getSelection().selectAllChildren(text); return; }
      button.textContent = "Copied";
      setTimeout(() => button.replaceChildren(...words), 1500);
    });
  }
  rows = exampleRows();
  if (pictures) pictures.reset();
  drawFields();
  loadIndex();
})();
