"use strict";
// A field for the pictures of a request, and the answers to them. `make` creates an element, and `changed` is called when
// the pictures are others.
const picturesOf = (make, spec, example, changed) => {
  const KINDS = { "/9j/": "image/jpeg", iVBO: "image/png", UklG: "image/webp" };
  const TOP = 5;
  const given = example.find((tensor) => tensor.name === spec.name);
  let pictures = [], areExample = true;

  const ofExample = () => (given ? given.data : []).map((data, i) => ({ name: `example ${i + 1}`, data, url: `data:${KINDS[data.slice(0, 4)]};base64,${data}` }));
  const shown = ({ name, url }) => make("img", { src: url, alt: name });
  const input = make("input", { type: "file", id: "pictures", multiple: "", accept: Object.values(KINDS).join(",") });
  const list = make("ul", { class: "pictures", "aria-label": "Pictures to send" });
  const zone = make("div", { class: "drop" },
    make("label", { for: "pictures" }, `${spec.name} (JPEG, PNG or WebP)`), input,
    make("p", { class: "quiet" }, "Choose files, or drop them here."), list);

  const read = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done({ name: file.name, url: reader.result, data: reader.result.slice(reader.result.indexOf(",") + 1) });
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });

  function draw() {
    list.replaceChildren(...pictures.map((picture, i) => {
      const remove = make("button", { type: "button" }, "Remove", make("span", { class: "hidden" }, ` ${picture.name}`));
      remove.addEventListener("click", () => { pictures.splice(i, 1); draw(); input.focus(); });
      return make("li", {}, shown(picture), make("span", {}, picture.name), remove);
    }));
    input.removeAttribute("aria-invalid");
    changed();
  }

  // The first pictures of one's own replace the example's.
  async function add(files) {
    const added = await Promise.all([...files].map(read));
    if (!added.length) return;
    pictures = areExample ? added : [...pictures, ...added];
    areExample = false;
    draw();
  }

  input.addEventListener("change", async () => { await add(input.files); input.value = ""; });
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); add(event.dataTransfer.files); });

  return {
    field: zone,
    reset() { pictures = ofExample(); areExample = true; draw(); },
    names: () => (areExample || !pictures.length ? ["picture.jpg"] : pictures.map(({ name }) => name)),
    tensor() {
      if (!pictures.length) throw Object.assign(new Error("Choose a picture."), { area: input });
      return { spec, shape: [pictures.length], text: JSON.stringify(pictures.map(({ data }) => data)) };
    },
    sent: () => [...pictures],
    // Returns each picture with the largest values of an output and what these columns are.
    answers(sent, { data, shape }, classes) {
      const width = shape.slice(1).reduce((total, size) => total * size, 1);
      const flat = data.flat(Infinity);
      return make("ul", { class: "pictures", "aria-label": "Pictures with their top classes" }, ...sent.map((picture, row) => {
        const values = flat.slice(row * width, (row + 1) * width).map((value, i) => [value, classes[i] ?? `column ${i}`]);
        const top = values.sort(([one], [other]) => other - one).slice(0, TOP);
        return make("li", {}, shown(picture), make("ol", {}, ...top.map(([value, name]) =>
          make("li", {}, make("span", {}, name), " ", make("span", { class: "number" }, Number(Number(value).toPrecision(4)))))));
      }));
    },
  };
};
