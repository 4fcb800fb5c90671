// What ethereumjs says: a JSON document of questions on standard input, one of answers on standard output.
// headers: RLP -> hash and fields; transactions: signed bytes -> hash, sender, chain; proofs: {key, nodes} ->
// value, under the root that the first node is; lists: values -> root of their trie, keyed by place. Bytes are hexadecimal with 0x.
import { readFileSync } from "node:fs";
import { createBlockHeaderFromRLP } from "@ethereumjs/block";
import { createCustomCommon, Hardfork, Mainnet } from "@ethereumjs/common";
import { createMPT, verifyMerkleProof } from "@ethereumjs/mpt";
import { RLP } from "@ethereumjs/rlp";
import { createTxFromRLP } from "@ethereumjs/tx";
import { bytesToHex, hexToBytes } from "@ethereumjs/util";

const { chainId, headers, transactions, proofs, lists } = JSON.parse(readFileSync(0, "utf8"));
const common = createCustomCommon({ chainId }, Mainnet, { hardfork: Hardfork.Prague });

const answers = {
  headers: headers.map((data) => {
    const header = createBlockHeaderFromRLP(hexToBytes(data), { common, skipConsensusFormatValidation: true });
    const { number, timestamp, stateRoot, transactionsTrie, receiptTrie } = header;
    return {
      hash: bytesToHex(header.hash()), number: Number(number), time: Number(timestamp),
      roots: [stateRoot, transactionsTrie, receiptTrie].map(bytesToHex),
    };
  }),
  transactions: transactions.map((data) => {
    const found = createTxFromRLP(hexToBytes(data), { common });
    return { hash: bytesToHex(found.hash()), sender: found.getSenderAddress().toString() };
  }),
  proofs: [],
  lists: [],
};
for (const { key, nodes } of proofs) {
  const value = await verifyMerkleProof(hexToBytes(key), nodes.map(hexToBytes));
  answers.proofs.push(value === null ? null : bytesToHex(value));
}
for (const values of lists) {
  const trie = await createMPT();
  for (const [place, value] of values.entries()) await trie.put(RLP.encode(place), hexToBytes(value));
  answers.lists.push(bytesToHex(trie.root()));
}
console.log(JSON.stringify(answers));
