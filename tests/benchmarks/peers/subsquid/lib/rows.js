"use strict";
// What one decoded event brings beside its row of chain_event: the rows that the mirror adds for it, where
// that is one row an event (or a moved batch). Changes of older rows are left out.
const model = require("./model");

const text = (value) => JSON.parse(JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item)));
exports.text = text;

function transfers(args, at) {
  const moves = args.ids ? args.ids.map((id, index) => [id, args.values[index]]) : [[args.id, args.value]];
  return moves.map(
    ([batchId, amountKg], subIndex) =>
      new model.CreditTransfer({
        ...at.place, id: `${at.place.id}-${subIndex}`, subIndex, batchId, amountKg, fromAddress: args.from, toAddress: args.to,
      }),
  );
}

function movement(kind, sign) {
  return (args, at) => [
    new model.SettlementMovement({
      ...at.place, kind, account: args.account, asset: args.asset ?? 0n, amount: sign * args.amount,
    }),
  ];
}

const MAKERS = {
  TransferSingle: transfers,
  TransferBatch: transfers,
  Issued: (args, at) => [
    new model.CreditBatch({
      ...at.place, id: String(args.batchId), key: args.key, recipient: args.recipient, classId: args.claim.classId,
      projectId: args.claim.projectId, siteId: args.claim.siteId, issuedKg: args.claim.amount,
      periodStartS: args.claim.periodStart, periodEndS: args.claim.periodEnd, expiresAtS: args.claim.expiresAt,
      bufferedKg: args.buffered, evidenceRoot: args.claim.evidenceRoot, evidenceTotalKg: args.claim.evidenceTotal,
      manifestHash: args.claim.manifestHash, methodologyHash: args.claim.methodologyHash, issuer: args.issuer,
      verifier: args.verifier, issuedAt: at.time,
    }),
  ],
  Retired: (args, at) => [
    new model.CreditRetirement({
      ...at.place, id: String(args.retirementId), key: args.key, batchId: args.batchId, holder: args.holder,
      firstSerial: args.firstSerial, amountKg: args.amount, beneficiary: args.details.beneficiary,
      reason: args.details.reason, country: args.details.country, consumptionStartS: args.details.consumptionStart,
      consumptionEndS: args.details.consumptionEnd, documentHash: args.details.documentHash, retiredAt: at.time,
    }),
  ],
  Cancelled: (args, at) => [
    new model.CreditCancellation({
      ...at.place, key: args.key, batchId: args.batchId, holder: args.holder, firstSerial: args.firstSerial,
      amountKg: args.amount, reason: args.reason, cancelledAt: at.time,
    }),
  ],
  Deposited: movement("deposit", 1n),
  Withdrawn: movement("withdrawal", -1n),
  CreditsDeposited: movement("deposit", 1n),
  CreditsWithdrawn: movement("withdrawal", -1n),
  BatchProposed: (args, at) => [
    new model.SettlementBatch({
      ...at.place, id: String(args.batchId), key: args.key, asset: args.asset, tradeCount: args.words.length,
      tradesRoot: args.tradesRoot, accounts: args.accounts, nets: text(args.nets), creditNets: text(args.creditNets),
      finalizableAtS: args.finalizableAt, proposedAt: at.time,
    }),
  ],
  TradeSettled: (args, at) => [
    new model.SettlementTrade({
      ...at.place, seq: args.seq, buyer: args.buyer, seller: args.seller, asset: args.asset, quantity: args.quantity,
      priceE4: args.price, cents: args.cents, feeCents: args.fee, feeCollector: args.feeCollector, settledAt: at.time,
    }),
  ],
};

exports.rowsOf = (name, args, at) => MAKERS[name]?.(args, at) ?? [];
