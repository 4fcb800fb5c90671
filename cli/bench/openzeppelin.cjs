// Roots and proofs of OpenZeppelin's own library, for comparison.
//
//   node openzeppelin.cjs MODULES < GROUPS
//
// MODULES is the folder node_modules that has @openzeppelin/merkle-tree. GROUPS is one JSON document a line:
// {"types": [...], "values": [[...], ...], "proofs": true|false}. For each comes a line back: {"root", "cpu_us",
// "proofs"}, where cpu_us is the process's CPU time from the values to the root, microseconds.
"use strict";
const readline = require("node:readline");
const { createRequire } = require("node:module");
const { join, resolve } = require("node:path");

const { StandardMerkleTree } = createRequire(join(resolve(process.argv[2]), "x"))("@openzeppelin/merkle-tree");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const group = JSON.parse(line);
  const before = process.cpuUsage();
  const tree = StandardMerkleTree.of(group.values, group.types);
  const root = tree.root;
  const spent = process.cpuUsage(before);
  const proofs = group.proofs ? group.values.map((_, place) => tree.getProof(place)) : [];
  process.stdout.write(JSON.stringify({ root, cpu_us: spent.user + spent.system, proofs }) + "\n");
});
