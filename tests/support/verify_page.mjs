// Runs the verifier of the page given as an argument on cases from standard input, one JSON line each:
// {"text", "trusted"}, {"hash"} or {"say"}; writes what it says of each, one JSON line each.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const page = readFileSync(process.argv[2], "utf8");
const script = /<script>([\s\S]*)<\/script>/.exec(page)[1];
const { verify, ProofError, keccak256, inWords } = new Function(`${script}\nreturn { verify, ProofError, keccak256, inWords };`)();

function judge({ text, trusted }) {
  try {
    const { checks, notProven } = verify(text, { ...trusted, chainId: BigInt(trusted.chainId) });
    return { valid: true, held: checks, not_proven: notProven };
  } catch (error) {
    if (!(error instanceof ProofError)) return { crashed: String(error.stack) };
    return { valid: false, check: error.check, held: error.done, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const given = JSON.parse(line);
  const answer = "hash" in given ? keccak256(given.hash) : "say" in given ? inWords(given.say, "zh-Hans") : judge(given);
  console.log(JSON.stringify(answer));
}
