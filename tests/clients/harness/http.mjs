// Owns a bare page on a loopback origin (a secure context), with the stock browser SDK beside it for tests that need no meeting page.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const SDK = path.join(path.dirname(createRequire(import.meta.url).resolve('livekit-client')), 'livekit-client.umd.js');
const PAGE = '<!doctype html><title>bare page</title><script src="/livekit-client.js"></script>';

/** @returns {Promise<{origin: string, close: () => void}>}  the page defines the global `LivekitClient` */
export async function serveBarePage() {
  const sdk = await readFile(SDK);
  const http = createServer((request, response) => {
    const script = request.url === '/livekit-client.js';
    response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' }).end(script ? sdk : PAGE);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    origin: `http://127.0.0.1:${http.address().port}`,
    close: () => {
      http.closeAllConnections();
      http.close();
    },
  };
}
