// Owns a call over TLS as a browser has it: the page by https, the stock SDK by wss, and a certificate that is renewed meanwhile.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { launch, skipWithout } from './harness/browser.mjs';
import { Meeter } from './harness/meeting.mjs';
import { Server } from './harness/server.mjs';
import { until, within } from './harness/wait.mjs';
import { allMeet } from './scenarios/page.mjs';

const run = promisify(execFile);
const skip = skipWithout('chromium');
/** The server looks at its files every few seconds, and twice where they do not belong together. */
const RENEWED_MS = 20_000;
// Nobody has signed these certificates; this process is the test's alone.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const server = new Server();
let folder;
let browser;
const file = (name) => path.join(folder, name);

/** A certificate that calls itself `name`, in place of the one that was there. */
async function certify(name) {
  const paths = ['-keyout', file('next-key.pem'), '-out', file('next-cert.pem')];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', ...paths, ...subject]);
  await rename(file('next-key.pem'), file('key.pem'));
  await rename(file('next-cert.pem'), file('cert.pem'));
}

/** Whose certificate a new connection is shown. */
function shown() {
  const { hostname: host, port } = new URL(server.url);
  const answer = new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });
  return within(5_000, 'handshake', answer);
}

before(async () => {
  if (skip) return;
  folder = await mkdtemp(path.join(tmpdir(), 'sfumato-tls-'));
  await certify('first');
  await server.start({ args: ['--tls-cert', file('cert.pem'), '--tls-key', file('key.pem')] });
  browser = await launch('chromium', { flags: ['--ignore-certificate-errors'] });
}, { timeout: 60_000 });
after(async () => {
  await browser?.shut();
  await server.stop();
  if (folder) await rm(folder, { recursive: true });
}, { timeout: 30_000 });

test('two meet over https, and a third by the next certificate', { timeout: 120_000, skip }, async (t) => {
  assert.match(server.url, /^https:/);
  const join = (name) => Meeter.join(browser, server.url, { name, room: 'secure' });
  const [ada, ben] = [await join('Ada'), await join('Ben')];
  await allMeet(t, [ada, ben]);
  assert.equal(await shown(), 'first');

  await certify('second');
  await until('the next certificate', async () => (await shown()) === 'second', { ms: RENEWED_MS });
  const cleo = await join('Cleo');
  await allMeet(t, [ada, ben, cleo]);
  for (const one of [ada, ben, cleo]) await one.close();
});
