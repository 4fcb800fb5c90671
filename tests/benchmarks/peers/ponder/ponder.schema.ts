import { index, onchainTable, primaryKey } from "ponder";

// Fields and indexes are those of the mirror's own tables.
const place = (t: any) => ({ blockNumber: t.integer().notNull(), logIndex: t.integer().notNull(), txHash: t.hex().notNull() });
const byPlace = (table: any) => ({ pk: primaryKey({ columns: [table.blockNumber, table.logIndex] }) });

export const chainBlock = onchainTable("chain_block", (t) => ({
  number: t.integer().primaryKey(),
  hash: t.hex().notNull(),
  parentHash: t.hex().notNull(),
  blockTime: t.timestamp({ withTimezone: true }).notNull(),
}));

export const chainEvent = onchainTable(
  "chain_event",
  (t) => ({
    ...place(t),
    contractAddress: t.hex().notNull(),
    eventName: t.text().notNull(),
    args: t.json().notNull(),
    seq: t.bigint(),
    head: t.hex(),
  }),
  (table) => ({ ...byPlace(table), name: index().on(table.eventName, table.blockNumber) }),
);

export const creditTransfer = onchainTable(
  "credit_transfer",
  (t) => ({
    ...place(t),
    subIndex: t.integer().notNull(),
    batchId: t.bigint().notNull(),
    fromAddress: t.hex().notNull(),
    toAddress: t.hex().notNull(),
    amountKg: t.bigint().notNull(),
  }),
  (table) => ({
    pk: primaryKey({ columns: [table.blockNumber, table.logIndex, table.subIndex] }),
    batch: index().on(table.batchId),
  }),
);

export const creditBatch = onchainTable(
  "credit_batch",
  (t) => ({
    id: t.bigint().primaryKey(),
    ...place(t),
    key: t.hex().notNull(),
    recipient: t.hex().notNull(),
    classId: t.integer().notNull(),
    projectId: t.integer().notNull(),
    siteId: t.integer().notNull(),
    issuedKg: t.bigint().notNull(),
    periodStartS: t.integer().notNull(),
    periodEndS: t.integer().notNull(),
    expiresAtS: t.integer().notNull(),
    bufferedKg: t.bigint().notNull(),
    evidenceRoot: t.hex().notNull(),
    evidenceTotalKg: t.bigint().notNull(),
    manifestHash: t.hex().notNull(),
    methodologyHash: t.hex().notNull(),
    issuer: t.hex().notNull(),
    verifier: t.hex().notNull(),
    issuedAt: t.timestamp({ withTimezone: true }).notNull(),
  }),
  (table) => ({ key: index().on(table.key), block: index().on(table.blockNumber) }),
);

export const creditRetirement = onchainTable(
  "credit_retirement",
  (t) => ({
    id: t.bigint().primaryKey(),
    ...place(t),
    key: t.hex().notNull(),
    batchId: t.bigint().notNull(),
    holder: t.hex().notNull(),
    firstSerial: t.bigint().notNull(),
    amountKg: t.bigint().notNull(),
    beneficiary: t.text().notNull(),
    reason: t.text().notNull(),
    country: t.text().notNull(),
    consumptionStartS: t.integer().notNull(),
    consumptionEndS: t.integer().notNull(),
    documentHash: t.hex().notNull(),
    retiredAt: t.timestamp({ withTimezone: true }).notNull(),
  }),
  (table) => ({ key: index().on(table.key), batch: index().on(table.batchId) }),
);

export const creditCancellation = onchainTable(
  "credit_cancellation",
  (t) => ({
    ...place(t),
    key: t.hex().notNull(),
    batchId: t.bigint().notNull(),
    holder: t.hex().notNull(),
    firstSerial: t.bigint().notNull(),
    amountKg: t.bigint().notNull(),
    reason: t.text().notNull(),
    cancelledAt: t.timestamp({ withTimezone: true }).notNull(),
  }),
  (table) => ({ ...byPlace(table), batch: index().on(table.batchId) }),
);

export const settlementMovement = onchainTable(
  "settlement_movement",
  (t) => ({
    ...place(t),
    account: t.hex().notNull(),
    asset: t.bigint().notNull(),
    kind: t.text().notNull(),
    amount: t.bigint().notNull(),
  }),
  (table) => byPlace(table),
);

export const settlementBatch = onchainTable("settlement_batch", (t) => ({
  id: t.bigint().primaryKey(),
  ...place(t),
  key: t.hex().notNull(),
  asset: t.bigint().notNull(),
  tradeCount: t.integer().notNull(),
  tradesRoot: t.hex().notNull(),
  accounts: t.json().notNull(),
  nets: t.json().notNull(),
  creditNets: t.json().notNull(),
  finalizableAtS: t.bigint().notNull(),
  proposedAt: t.timestamp({ withTimezone: true }).notNull(),
}));

export const settlementTrade = onchainTable(
  "settlement_trade",
  (t) => ({
    ...place(t),
    seq: t.bigint().notNull(),
    buyer: t.hex().notNull(),
    seller: t.hex().notNull(),
    asset: t.bigint().notNull(),
    quantity: t.bigint().notNull(),
    priceE4: t.bigint().notNull(),
    cents: t.bigint().notNull(),
    feeCents: t.bigint().notNull(),
    feeCollector: t.hex().notNull(),
    settledAt: t.timestamp({ withTimezone: true }).notNull(),
  }),
  byPlace,
);
