import { readFileSync } from "node:fs";
import { createConfig } from "ponder";

const bench = JSON.parse(readFileSync(process.env.BENCH_FILE!, "utf8"));
const chain = "bench";
const at = (name: string) => ({
  abi: bench.contracts[name].abi,
  chain,
  address: bench.contracts[name].address,
  startBlock: bench.firstBlock,
});

export default createConfig({
  database: { kind: "postgres", connectionString: process.env.DATABASE_URL! },
  // Ponder asks one address at most 20 times a second: so it is named 25 times.
  chains: { [chain]: { id: 31337, rpc: Array.from({ length: 25 }, (_, n) => `${bench.rpcUrl}/?${n}`) } },
  contracts: { CarbonCredit: at("CarbonCredit"), VppSettlement: at("VppSettlement") },
  blocks: { Every: { chain, startBlock: bench.firstBlock, interval: 1 } },
});
