"use strict";
// What squid-evm-typegen generates from an ABI, made at start: the same codecs of @subsquid/evm-codec.
const abi = require("@subsquid/evm-abi");
const codecs = require("@subsquid/evm-codec");

function codec(part) {
  const array = /^(.*)\[\]$/.exec(part.type);
  if (array) return codecs.array(codec({ ...part, type: array[1] }));
  if (part.type === "tuple") return codecs.struct(fields(part.components, (item) => codec(item)));
  return codecs[part.type];
}

function fields(parts, make) {
  return Object.fromEntries(parts.map((part) => [part.name, make(part)]));
}

function signature(part) {
  if (!part.type.startsWith("tuple")) return part.type;
  return `(${part.components.map(signature).join(",")})${part.type.slice("tuple".length)}`;
}

/** The events of a contract, by their first topic: name and decoder. */
exports.events = function events(items) {
  const found = new Map();
  for (const item of items) {
    const text = `${item.name}(${item.inputs.map(signature).join(",")})`;
    const topic = `0x${abi.keccak256(text).toString("hex")}`;
    const args = fields(item.inputs, (part) => (part.indexed ? abi.indexed(codec(part)) : codec(part)));
    found.set(topic, { name: item.name, event: abi.event(topic, text, args) });
  }
  return found;
};
