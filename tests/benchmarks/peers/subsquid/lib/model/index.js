"use strict";
// The entities, as squid-typeorm-codegen would make them from a schema; fields and indexes are those of the
// mirror's own tables.
const { EntitySchema } = require("typeorm");

const text = { type: "text" };
const maybe = { type: "text", nullable: true };
const int = { type: "int4" };
const big = { type: "numeric" };
const time = { type: "timestamp with time zone" };
const json = { type: "jsonb" };
const place = { blockNumber: int, logIndex: int, txHash: text };

function entity(name, columns, indexes = []) {
  const target = { [name]: class { constructor(values) { Object.assign(this, values); } } }[name];
  exports[name] = target;
  exports[`${name}Schema`] = new EntitySchema({
    name,
    target,
    columns: { id: { type: "varchar", primary: true }, ...columns },
    indices: indexes.map((columns) => ({ columns: [columns].flat() })),
  });
}

entity("ChainBlock", { number: int, hash: text, parentHash: text, blockTime: time });
entity(
  "ChainEvent",
  { ...place, contractAddress: text, eventName: text, args: json, seq: { ...big, nullable: true }, head: maybe },
  [["eventName", "blockNumber"]],
);
entity(
  "CreditTransfer",
  { ...place, subIndex: int, batchId: big, fromAddress: text, toAddress: text, amountKg: big },
  ["batchId"],
);
entity(
  "CreditBatch",
  {
    ...place, key: text, recipient: text, classId: int, projectId: int, siteId: int, issuedKg: big,
    periodStartS: int, periodEndS: int, expiresAtS: int, bufferedKg: big, evidenceRoot: text,
    evidenceTotalKg: big, manifestHash: text, methodologyHash: text, issuer: text, verifier: text, issuedAt: time,
  },
  ["key", "blockNumber"],
);
entity(
  "CreditRetirement",
  {
    ...place, key: text, batchId: big, holder: text, firstSerial: big, amountKg: big, beneficiary: text,
    reason: text, country: text, consumptionStartS: int, consumptionEndS: int, documentHash: text, retiredAt: time,
  },
  ["key", "batchId"],
);
entity(
  "CreditCancellation",
  { ...place, key: text, batchId: big, holder: text, firstSerial: big, amountKg: big, reason: text, cancelledAt: time },
  ["batchId"],
);
entity("SettlementMovement", { ...place, account: text, asset: big, kind: text, amount: big });
entity("SettlementBatch", {
  ...place, key: text, asset: big, tradeCount: int, tradesRoot: text, accounts: json, nets: json, creditNets: json,
  finalizableAtS: big, proposedAt: time,
});
entity("SettlementTrade", {
  ...place, seq: big, buyer: text, seller: text, asset: big, quantity: big, priceE4: big, cents: big, feeCents: big,
  feeCollector: text, settledAt: time,
});
