"use strict";
// The processor: every event of both contracts and every block, over RPC alone, written in batches.
const { EvmBatchProcessor } = require("@subsquid/evm-processor");
const { TypeormDatabase } = require("@subsquid/typeorm-store");
const { events } = require("./abi");
const model = require("./model");
const { rowsOf, text } = require("./rows");

const bench = require(process.env.BENCH_FILE);
const decoders = new Map(
  Object.entries(bench.contracts).map(([, { address, abi }]) => [address, events(abi)]),
);

const processor = new EvmBatchProcessor()
  .setRpcEndpoint({ url: bench.rpcUrl, capacity: 10, maxBatchCallSize: 100 })
  .setFinalityConfirmation(2)
  .setBlockRange({ from: bench.firstBlock })
  .setFields({ block: { parentHash: true, timestamp: true }, log: { transactionHash: true, topics: true, data: true } })
  .includeAllBlocks()
  .addLog({ address: [...decoders.keys()] });

processor.run(new TypeormDatabase({ supportHotBlocks: true }), async (ctx) => {
  const found = new Map();
  const add = (row) => {
    const rows = found.get(row.constructor);
    if (rows) rows.push(row);
    else found.set(row.constructor, [row]);
  };
  for (const block of ctx.blocks) {
    const { height, hash, parentHash, timestamp } = block.header;
    const time = new Date(timestamp);
    add(new model.ChainBlock({ id: String(height), number: height, hash, parentHash, blockTime: time }));
    for (const log of block.logs) {
      const { name, event } = decoders.get(log.address).get(log.topics[0]);
      const args = event.decode(log);
      const place = { id: log.id, blockNumber: height, logIndex: log.logIndex, txHash: log.transactionHash };
      const sealed = args.head !== undefined;
      add(
        new model.ChainEvent({
          ...place, contractAddress: log.address, eventName: name, args: text(args),
          seq: sealed ? args.seq : null, head: sealed ? args.head : null,
        }),
      );
      for (const row of rowsOf(name, args, { place, time })) add(row);
    }
  }
  for (const rows of found.values()) await ctx.store.insert(rows);
});
