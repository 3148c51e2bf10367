const bits = Buffer.alloc(8);
const string = (text) => "'" + Buffer.from(text, "utf8").toString("hex") + "'";
function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") { bits.writeDoubleBE(value + 0); return bits.toString("hex"); }
  if (typeof value === "string") return string(value);
  if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
  const keys = Object.keys(value).map((key) => [Buffer.from(key, "utf8"), key]);
  keys.sort((a, b) => Buffer.compare(a[0], b[0]));
  return "{" + keys.map(([, key]) => string(key) + ":" + canonical(value[key])).join(",") + "}";
}
const lines = require("fs").readFileSync(0, "latin1").split("\n").slice(0, -1);
const texts = lines.map((line) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(line, "hex")));
process.stdout.write(texts.map((text) => canonical(JSON.parse(text)) + "\n").join(""));
