// Owns the run of the end-to-end suite that npm @livekit/rtc-node ships: one server, the suite unchanged, and the assertion
// that all of its tests ran and passed, no fewer and none skipped. The last line printed is the count.
// What always holds: a test is run again only when it is one of those that the client's own deadlock can hang
// (tests/clients/README.md), and nothing else failed.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, exited, guard } from '../harness/process.mjs';
import { Server } from '../harness/server.mjs';
import { API_KEY, API_SECRET } from '../harness/token.mjs';
import { within } from '../harness/wait.mjs';

/** In version 1.1.0, with each row of a table counted. */
const TESTS = 29;
const RUN_MS = 240_000;
const OUTPUT_LINES = 300;
/** Tests that a client starved of CPU can hang in, by a deadlock of its own: at most so many further attempts at them. */
const MAY_HANG = /^(full reconnect|resume) keeps audio flowing/;
const FURTHER_ATTEMPTS = 2;
const CLIENTS = fileURLToPath(new URL('..', import.meta.url));

/** Runs the suite. @returns its exit code, and what it printed: worth showing only when it failed */
async function runSuite(url, report, only) {
  const vitest = path.join(CLIENTS, 'node_modules', 'vitest', 'vitest.mjs');
  const child = spawn(
    process.execPath,
    [
      ...[vitest, 'run', '--config', path.join(CLIENTS, 'rtc-node', 'vitest.config.mjs'), '--reporter=json', `--outputFile=${report}`],
      ...(only ? ['--testNamePattern', only] : []),
    ],
    {
      cwd: CLIENTS,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LIVEKIT_URL: url, LIVEKIT_API_KEY: API_KEY, LIVEKIT_API_SECRET: API_SECRET },
    },
  );
  const release = guard(child.pid);
  const printed = [];
  child.stdout.on('data', (chunk) => printed.push(chunk));
  child.stderr.on('data', (chunk) => printed.push(chunk));
  try {
    const { code } = await within(RUN_MS, "end of rtc-node's suite", exited(child));
    return { code, output: Buffer.concat(printed).toString().split('\n').slice(-OUTPUT_LINES).join('\n') };
  } finally {
    if (child.exitCode === null) await end(child, 5_000);
    release();
  }
}

/** Prints one line for each test. @returns {{passed: number, failed: number, skipped: number}} */
function tell({ testResults }) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of testResults) {
    // A file that could not be loaded has a message and no tests.
    if (!file.assertionResults.length) console.log(`FAILED ${path.basename(file.name)}: ${file.message}`);
    for (const one of file.assertionResults) {
      const outcome = one.status === 'passed' || one.status === 'failed' ? one.status : 'skipped';
      counts[outcome] += 1;
      console.log(`${outcome === 'passed' ? 'ok' : outcome.toUpperCase()} ${one.title} (${Math.round(one.duration ?? 0)} ms)`);
      for (const message of one.failureMessages ?? []) console.log(message.replace(/^/gm, '    '));
    }
  }
  return counts;
}

/** The titles of what failed, if nothing but the client's deadlock can have made it fail. */
function hung({ testResults }) {
  const failed = testResults.flatMap((file) => file.assertionResults).filter((one) => one.status === 'failed');
  return failed.length && failed.every((one) => MAY_HANG.test(one.title)) ? failed.map((one) => one.title) : [];
}

const literally = (title) => title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Runs what hung again, by itself. @returns how many of them passed */
async function again(url, report, titles) {
  let waiting = titles;
  for (let attempt = 1; attempt <= FURTHER_ATTEMPTS && waiting.length; attempt++) {
    console.log(`again, attempt ${attempt}: ${waiting.join(', ')}`);
    await runSuite(url, report, waiting.map(literally).join('|'));
    const { testResults } = JSON.parse(await readFile(report, 'utf8'));
    const passed = testResults.flatMap((file) => file.assertionResults).filter((one) => one.status === 'passed');
    waiting = waiting.filter((title) => !passed.some((one) => one.title === title));
  }
  return titles.length - waiting.length;
}

async function main() {
  const server = await new Server().start({ shards: 2 });
  const folder = await mkdtemp(path.join(tmpdir(), 'rtc-node-'));
  const report = path.join(folder, 'report.json');
  let counts = { passed: 0, failed: 0, skipped: 0 };
  let fault;
  try {
    let { code, output } = await runSuite(server.wsUrl, report);
    const results = JSON.parse(await readFile(report, 'utf8').catch(() => '{"testResults":[]}'));
    counts = tell(results);
    const recovered = await again(server.wsUrl, report, hung(results));
    counts.passed += recovered;
    counts.failed -= recovered;
    if (recovered && counts.passed === TESTS) code = 0;
    if (counts.passed !== TESTS || counts.failed || counts.skipped) fault = `${counts.passed} of ${TESTS} passed`;
    else if (code !== 0) fault = `all ${TESTS} passed, yet the suite ended with ${code}`;
    if (fault) console.log(`${output}\n${server.log()}`);
    await server.stop();
  } catch (error) {
    fault = error.message;
    await server.kill();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (fault) {
    console.log(`rtc-node's own suite: ${fault}`);
    // Tests that never ran count as failed.
    counts.failed = Math.max(1, TESTS - counts.passed);
  }
  if (process.env.SFUMATO_COUNTS) await writeFile(process.env.SFUMATO_COUNTS, `${counts.passed} ${counts.failed} ${counts.skipped}\n`);
  console.log(`rtc-node: ${counts.passed} of ${TESTS}`);
  process.exit(fault ? 1 : 0);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
