// Owns the meeting page in headless Chromium with fake devices: the shared scenarios, and the device troubles that only
// Chromium can be brought into for real (no device, a page that is not served securely) or that need a stand-in (in use).
import assert from 'node:assert/strict';
import { launch } from './harness/browser.mjs';
import { Meeter } from './harness/meeting.mjs';
import { pageTests } from './scenarios/page.mjs';

const { server, test, options } = pageTests('chromium');

/** Opens the lobby in a browser of its own, reads its explanation, and joins all the same. */
async function explains(kind, { url = server.url, prepare, ...launching }) {
  const browser = await launch('chromium', launching);
  try {
    const user = await Meeter.open(browser, url, { name: 'Uma', room: `trouble-${kind}`, prepare });
    const error = await user.lobbyError();
    assert.equal(error.kind, kind, error.text);
    assert.ok(error.text.length > 20, `says what to do: "${error.text}"`);
    await user.enter({ camera: false });
    await user.seesExactly([]);
    await user.close();
  } finally {
    await browser.shut();
  }
}

test('chromium: a machine without camera is explained', options, async (t) => {
  const browser = await launch('chromium', { devices: 'none' });
  const page = await browser.newPage();
  await page.goto(server.url);
  const devices = await page.evaluate(async () => (await navigator.mediaDevices.enumerateDevices()).length);
  await browser.shut();
  if (devices > 0) return t.skip('this machine has real devices, which this test must not open');
  await explains('not-found', { devices: 'none' });
});

test('chromium: a page that is not served securely is explained', options, () =>
  explains('insecure', {
    url: Object.assign(new URL(server.url), { hostname: 'meeting.test' }).origin,
    flags: ['--host-resolver-rules=MAP meeting.test 127.0.0.1'],
  }),
);

test('chromium: a camera that another program uses is explained', options, () =>
  explains('in-use', {
    prepare: () => {
      navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException('Could not start video source', 'NotReadableError');
      };
    },
  }),
);
