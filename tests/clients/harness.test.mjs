// Owns the proof that the harness itself works, without any server: browsers start with fake devices, two windows both
// count as visible, refusal of the camera is a refusal, and nothing outlives a runner that was killed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { launch, newPage, skipWithout } from './harness/browser.mjs';
import { serveBarePage } from './harness/http.mjs';
import { until, within } from './harness/wait.mjs';

const TIMEOUT = { timeout: 90_000 };
let bare;
before(async () => {
  bare = await serveBarePage();
});
after(() => bare.close());

/** Asks for camera and microphone; counts the frames that a video element shows in up to five seconds. */
const capture = async () => {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
    const video = document.createElement('video');
    Object.assign(video, { srcObject: stream, muted: true });
    document.body.append(video);
    let frames = 0;
    const count = () => {
      frames += 1;
      video.requestVideoFrameCallback(count);
    };
    video.requestVideoFrameCallback(count);
    await video.play();
    const start = performance.now();
    while (frames < 10 && performance.now() - start < 5_000) await new Promise((resolve) => setTimeout(resolve, 50));
    return {
      kinds: stream.getTracks().map((track) => track.kind).sort().join(),
      devices: (await navigator.mediaDevices.enumerateDevices()).length,
      width: video.videoWidth,
      frames,
      visible: document.visibilityState,
      sdk: typeof LivekitClient,
    };
  } catch (error) {
    return { error: error.name };
  }
};

for (const name of ['chromium', 'firefox']) {
  test(`${name} captures a fake camera and microphone in two windows at once`, { ...TIMEOUT, skip: skipWithout(name) }, async (t) => {
    const browser = await launch(name);
    try {
      const pages = [await newPage(browser), await newPage(browser)];
      for (const page of pages) await page.goto(bare.origin);
      const seen = await within(40_000, 'captures', Promise.all(pages.map((page) => page.evaluate(capture))));
      t.diagnostic(JSON.stringify(seen));
      for (const one of seen) {
        assert.equal(one.kinds, 'audio,video');
        assert.ok(one.width > 0);
        assert.ok(one.frames >= 10, `frames advance: ${one.frames}`);
        assert.ok(one.devices >= 2);
      assert.equal(one.visible, 'visible');
      assert.equal(one.sdk, 'object');
      }
    } finally {
      await browser.shut();
    }
  });

  test(`${name} refuses the camera when told to`, { ...TIMEOUT, skip: skipWithout(name) }, async () => {
    const browser = await launch(name, { devices: 'denied' });
    try {
      const page = await newPage(browser);
      await page.goto(bare.origin);
      assert.deepEqual(await page.evaluate(capture), { error: 'NotAllowedError' });
    } finally {
      await browser.shut();
    }
  });
}

test('a child process ends when its runner is killed outright', TIMEOUT, async () => {
  const script = `
    import { spawn } from 'node:child_process';
    import { guard } from ${JSON.stringify(new URL('harness/process.mjs', import.meta.url).href)};
    const child = spawn('sleep', ['300'], { stdio: 'ignore' });
    guard(child.pid);
    console.log(child.pid);
    setTimeout(() => {}, 60_000);`;
  const runner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [chunk] = await within(10_000, 'pid of the child', once(runner.stdout, 'data'));
  const pid = Number(chunk.toString());
  assert.ok(isAlive(pid));
  runner.kill('SIGKILL');
  await until('end of the orphan', () => !isAlive(pid), { ms: 10_000 });
});

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
