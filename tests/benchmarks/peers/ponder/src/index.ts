// Every event of both contracts and every block; rows go through `db.insert`, which Ponder keeps in memory
// and writes in bulk. What one event brings is what the mirror adds for it, where that is one row an event
// (or a moved batch); changes of older rows are left out.
import { readFileSync } from "node:fs";
import { ponder } from "ponder:registry";
import * as schema from "ponder:schema";

const bench = JSON.parse(readFileSync(process.env.BENCH_FILE!, "utf8"));
const text = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item)));
const dated = (block: any) => new Date(Number(block.timestamp) * 1000);

type Maker = (args: any, place: any, time: Date, db: any) => Promise<unknown>;

const transfers: Maker = (args, place, _time, db) => {
  const moves = args.ids ? args.ids.map((id: bigint, n: number) => [id, args.values[n]]) : [[args.id, args.value]];
  return db.insert(schema.creditTransfer).values(
    moves.map(([batchId, amountKg]: [bigint, bigint], subIndex: number) => ({
      ...place, subIndex, batchId, amountKg, fromAddress: args.from, toAddress: args.to,
    })),
  );
};
const movement = (kind: string, sign: bigint): Maker => (args, place, _time, db) =>
  db.insert(schema.settlementMovement).values({
    ...place, kind, account: args.account, asset: args.asset ?? 0n, amount: sign * args.amount,
  });

const MAKERS: Record<string, Maker> = {
  TransferSingle: transfers,
  TransferBatch: transfers,
  Issued: (args, place, time, db) =>
    db.insert(schema.creditBatch).values({
      ...place, id: args.batchId, key: args.key, recipient: args.recipient, classId: args.claim.classId,
      projectId: args.claim.projectId, siteId: args.claim.siteId, issuedKg: args.claim.amount,
      periodStartS: args.claim.periodStart, periodEndS: args.claim.periodEnd, expiresAtS: args.claim.expiresAt,
      bufferedKg: args.buffered, evidenceRoot: args.claim.evidenceRoot, evidenceTotalKg: args.claim.evidenceTotal,
      manifestHash: args.claim.manifestHash, methodologyHash: args.claim.methodologyHash, issuer: args.issuer,
      verifier: args.verifier, issuedAt: time,
    }),
  Retired: (args, place, time, db) =>
    db.insert(schema.creditRetirement).values({
      ...place, id: args.retirementId, key: args.key, batchId: args.batchId, holder: args.holder,
      firstSerial: args.firstSerial, amountKg: args.amount, beneficiary: args.details.beneficiary,
      reason: args.details.reason, country: args.details.country, consumptionStartS: args.details.consumptionStart,
      consumptionEndS: args.details.consumptionEnd, documentHash: args.details.documentHash, retiredAt: time,
    }),
  Cancelled: (args, place, time, db) =>
    db.insert(schema.creditCancellation).values({
      ...place, key: args.key, batchId: args.batchId, holder: args.holder, firstSerial: args.firstSerial,
      amountKg: args.amount, reason: args.reason, cancelledAt: time,
    }),
  Deposited: movement("deposit", 1n),
  Withdrawn: movement("withdrawal", -1n),
  CreditsDeposited: movement("deposit", 1n),
  CreditsWithdrawn: movement("withdrawal", -1n),
  BatchProposed: (args, place, time, db) =>
    db.insert(schema.settlementBatch).values({
      ...place, id: args.batchId, key: args.key, asset: args.asset, tradeCount: args.words.length,
      tradesRoot: args.tradesRoot, accounts: args.accounts, nets: text(args.nets), creditNets: text(args.creditNets),
      finalizableAtS: args.finalizableAt, proposedAt: time,
    }),
  TradeSettled: (args, place, time, db) =>
    db.insert(schema.settlementTrade).values({
      ...place, seq: args.seq, buyer: args.buyer, seller: args.seller, asset: args.asset, quantity: args.quantity,
      priceE4: args.price, cents: args.cents, feeCents: args.fee, feeCollector: args.feeCollector, settledAt: time,
    }),
};

for (const [contract, { address, abi }] of Object.entries<any>(bench.contracts)) {
  for (const { name } of abi) {
    const make = MAKERS[name];
    ponder.on(`${contract}:${name}` as any, async ({ event, context }: any) => {
      const { args, log, block, transaction } = event;
      const place = { blockNumber: Number(block.number), logIndex: log.logIndex, txHash: transaction.hash };
      const sealed = args.head !== undefined;
      await context.db.insert(schema.chainEvent).values({
        ...place, contractAddress: address, eventName: name, args: text(args),
        seq: sealed ? args.seq : null, head: sealed ? args.head : null,
      });
      if (make) await make(args, place, dated(block), context.db);
    });
  }
}

ponder.on("Every:block" as any, async ({ event, context }: any) => {
  const { number, hash, parentHash } = event.block;
  await context.db
    .insert(schema.chainBlock)
    .values({ number: Number(number), hash, parentHash, blockTime: dated(event.block) });
});
