// The API's description, drawn from /openapi.json. Everything shown is put in as text.

const el = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(Boolean));
  return made;
};

const theme = localStorage.getItem("yardarm-theme");
if (theme) document.documentElement.dataset.theme = theme;

const api = await (await fetch("/openapi.json")).json();
document.getElementById("about").textContent = `version ${api.info.version}`;

function shape(schema, depth = 0) {
  if (!schema || depth > 3) return "…";
  if (schema.$ref) return shape(api.components.schemas[schema.$ref.split("/").pop()], depth);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const) return schema.const;
  if (schema.anyOf) return schema.anyOf.map((one) => shape(one, depth)).join(" or ");
  if (schema.type === "array") return `[${shape(schema.items, depth)}]`;
  if (schema.properties) {
    const pad = "  ".repeat(depth + 1);
    const lines = Object.entries(schema.properties).map(([name, one]) => `${pad}${name}: ${shape(one, depth + 1)}`);
    return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
  }
  return schema.type ?? "any";
}

const sections = [el("p", {}, api.info.description)];
for (const [path, methods] of Object.entries(api.paths))
  for (const [method, operation] of Object.entries(methods)) {
    const answer = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
    const schema = answer?.[1].content?.["application/json"]?.schema;
    sections.push(el("details", {},
      el("summary", {}, el("b", {}, method.toUpperCase()), " ", el("code", {}, path), " ", el("span", { class: "quiet" }, operation.description ?? "")),
      el("ul", {}, ...(operation.parameters ?? []).map((one) =>
        el("li", {}, el("code", {}, one.name), ` ${one.in}, ${shape(one.schema)}${one.required ? ", required" : ""} `, el("span", { class: "quiet" }, one.description ?? "")))),
      schema ? el("pre", {}, shape(schema)) : null));
  }
document.getElementById("operations").replaceChildren(...sections);
