// What solc-v<version> runs: npm's solc behind the part of the native command line that solcx, Brownie and forge use.
//
//   solc --version
//   solc --standard-json [FILE] [--base-path DIR] [--include-path DIR]... [--allow-paths ...]
//
// Imports that the input does not carry are read from the base path (else the working directory) and the include
// paths. Source names stay as they are written, relative, so that no path of this machine enters the metadata.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const root = path.resolve(__dirname, "..", "..");
const solcFolder = path.join(root, "node_modules", "solc");
const [wanted, ...args] = process.argv.slice(2);

function fail(message) {
  process.stderr.write(`solc: ${message}\n`);
  process.exit(1);
}

// A quarter of a compilation went into optimizing functions that are called too seldom for it to pay: ten times as much
// use is asked for. A V8 that does not know the flag says so on stderr, and goes on.
function optimizeLess() {
  require("node:v8").setFlagsFromString("--wasm-tiering-budget=18000000");
}

// At each call that may throw, the compiler asks WebAssembly's table of functions for the one to call. What stands in a
// table changes by set and grow alone, so that its answers are kept until then.
function keepFunctions() {
  const prototype = WebAssembly.Table.prototype;
  const { get, set, grow } = prototype;
  let table = null; // the one asked last: the compiler has one
  let kept = [];
  prototype.get = function (index) {
    if (this !== table) {
      table = this;
      kept = new Array(this.length).fill(null);
    }
    return kept[index] ?? (kept[index] = get.call(this, index));
  };
  for (const [name, change] of Object.entries({ set, grow })) {
    prototype[name] = function (...values) {
      table = null;
      return change.apply(this, values);
    };
  }
}

function load() {
  optimizeLess();
  keepFunctions();
  const { version } = require(path.join(solcFolder, "package.json"));
  if (version !== wanted) fail(`node_modules has solc ${version}, not ${wanted}`);
  return require(solcFolder);
}

// The long version is only known to the compiler itself, which takes half a second to load; it is asked once.
function longVersion() {
  const stamp = path.join(root, "node_modules", ".cache", `solc-${wanted}.version`);
  const compiler = path.join(solcFolder, "soljson.js");
  try {
    if (fs.statSync(stamp).mtimeMs >= fs.statSync(compiler).ctimeMs) return fs.readFileSync(stamp, "utf8");
  } catch {
    // not asked yet
  }
  const version = load().version();
  try {
    fs.mkdirSync(path.dirname(stamp), { recursive: true });
    fs.writeFileSync(`${stamp}.${process.pid}`, version);
    fs.renameSync(`${stamp}.${process.pid}`, stamp);
  } catch {
    // a folder that cannot be written: asked again next time
  }
  return version;
}

function printVersion() {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${longVersion()}\n`);
}

function compile(file, folders) {
  const input = fs.readFileSync(file ?? 0, "utf8");
  const findImport = (name) => {
    for (const folder of folders) {
      try {
        return { contents: fs.readFileSync(path.resolve(folder, name), "utf8") };
      } catch {
        // the next folder
      }
    }
    return { error: "File not found" };
  };
  const output = load().compile(input, { import: findImport });
  process.stdout.write(output + "\n");
}

const valued = new Set(["--base-path", "--include-path", "--allow-paths"]);
let standardJson = false;
let version = false;
let file;
let base = process.cwd();
const include = [];

for (let i = 0; i < args.length; i += 1) {
  const [name, inline] = args[i].split(/=(.*)/s, 2);
  const value = () => inline ?? args[(i += 1)] ?? fail(`${name} needs a value`);
  if (name === "--version" || name === "-V") version = true;
  else if (name === "--standard-json") standardJson = true;
  else if (name === "--base-path") base = value();
  else if (name === "--include-path") include.push(value());
  else if (valued.has(name)) value();
  else if (!name.startsWith("-") && file === undefined) file = name;
  else if (name !== "-") fail(`this compiler answers --version and --standard-json only, not ${name}`);
}

if (version) printVersion();
else if (standardJson) compile(file, [base, ...include]);
else fail("this compiler answers --version and --standard-json only");
