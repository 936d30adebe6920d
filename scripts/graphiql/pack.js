// Finish a build: the notices of what is in it, the digest of what it was made from, and compressed forms of every text.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { constants, brotliCompressSync, gzipSync } from "node:zlib";

const output = process.argv[2];
// What is compressed already, and the page: the server writes its configuration into it.
const KEPT = new Set([".woff2", ".ttf", ".html", ".sha256"]);
// What goes into a build. `index.html` and `src/` are its sources, the others decide how they are put together.
const SOURCES = ["build", "index.html", "mit.txt", "pack.js", "package-lock.json", "package.json", "src", "vite.config.js"];

/** List the files under a path, sorted by their path in ASCII order. */
function files(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile())
    .sort();
}

/** The license of a package that names it and has no file of it. */
function standardText(path, license) {
  const { author, repository } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
  if (license !== "MIT") throw new Error(`${path} has no license text and is not under MIT`);
  const holder = author?.name ?? author ?? `the authors of ${repository?.url ?? repository}`;
  return readFileSync("mit.txt", "utf8").replace("{holder}", holder).trim();
}

/** Write what every package that can be part of the build asks to be shown with it. */
function writeNotices() {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const notices = Object.entries(packages)
    .filter(([path, { dev }]) => path && !dev)
    .map(([path, { version, license }]) => {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      const texts = readdirSync(path)
        .filter((file) => /^(licen[cs]e|notice|copying|thirdpartynotices)/i.test(file))
        .sort()
        .map((file) => readFileSync(join(path, file), "utf8").replaceAll("\r\n", "\n").trim());
      if (!texts.length) texts.push(standardText(path, license));
      return [`${name} ${version}`, [`License: ${license}`, ...texts].join("\n\n")];
    });
  const unique = [...new Map(notices)].sort(([a], [b]) => (a < b ? -1 : 1));
  const line = "=".repeat(100);
  const head = [
    "GraphiQL, as built here, contains code and fonts of the packages below, each under its own license.",
    "The icon font codicon is Microsoft's (https://github.com/microsoft/vscode-codicons), under CC BY 4.0.",
  ].join("\n");
  const body = unique.map(([title, text]) => `${line}\n${title}\n${line}\n\n${text}\n`);
  writeFileSync(join(output, "THIRD_PARTY_NOTICES.txt"), `${head}\n\n${body.join("\n")}`);
}

/** Write the digest by which a test sees that the committed build is one of the committed sources. */
function writeSourceDigest() {
  const digest = createHash("sha256");
  for (const name of SOURCES.flatMap(files).sort()) {
    digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
  }
  writeFileSync(join(output, "source.sha256"), `${digest.digest("hex")}\n`);
}

/** Replace every text by its .br and .gz, which is all that a browser asks for. */
function compress() {
  for (const path of files(output)) {
    if (KEPT.has(extname(path)) || path.endsWith("NOTICES.txt")) continue;
    const text = readFileSync(path);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length };
    writeFileSync(`${path}.br`, brotliCompressSync(text, { params }));
    writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }));
    rmSync(path);
  }
}

writeNotices();
writeSourceDigest();
compress();
const sizes = files(output).map((path) => [relative(output, path), statSync(path).size]);
for (const [path, size] of sizes) console.log(`${String(size).padStart(9)}  ${path}`);
console.log(`${String(sizes.reduce((sum, [, size]) => sum + size, 0)).padStart(9)}  in ${sizes.length} files`);
