// Owns what is asked of the meeting page in any one browser: the same scenarios for Chromium and for Firefox.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, skipCallsWithout } from '../harness/browser.mjs';
import { Meeter } from '../harness/meeting.mjs';
import { serverForFile } from '../harness/server.mjs';

const TEST_MS = 120_000;
const PHONE = { width: 390, height: 844 };
const CONTROLS = ['control-mic', 'control-camera', 'control-chat', 'control-leave'];
const PICTURE = fileURLToPath(new URL('../../../docs/images/meeting.png', import.meta.url));

/** Each of these sees and hears each of the others. */
export async function allMeet(t, meeters) {
  const pairs = meeters.flatMap((one) => meeters.filter((other) => other !== one).map((other) => [one, other]));
  for (const one of meeters) await one.seesExactly(meeters.filter((other) => other !== one));
  const seen = await Promise.all(pairs.map(async ([one, other]) => [await one.seesFrames(other), await one.hears(other)]));
  seen.forEach(([video, energy], i) => {
    const [one, other] = pairs[i];
    t.diagnostic(`${one.name} <- ${other.name}: ${video.width}x${video.height}, deviation ${video.deviation.toFixed(0)}, energy ${energy.toExponential(1)}`);
  });
}

/** Defines the tests of one browser in the calling file. @param {'chromium' | 'firefox'} name */
export function pageTests(name) {
  const skip = skipCallsWithout(name);
  const options = { timeout: TEST_MS, skip };
  const { server, test } = serverForFile();
  let browser;
  before(async () => {
    if (!skip) browser = await launch(name);
  }, { timeout: 90_000 });
  after(() => browser?.shut(), { timeout: 30_000 });
  const join = (who, room, more) => Meeter.join(browser, server.url, { name: who, room, ...more });

  test(`${name}: two participants see and hear each other, see mute, chat, and see the other leave`, options, async (t) => {
    const [ada, ben] = [await join('Ada', 'two'), await join('Ben', 'two')];
    await allMeet(t, [ada, ben]);
    assert.equal((await ada.tileOf(ben)).name.includes('Ben'), true);

    await ben.seesTile(ada, { muted: false });
    await ada.press('control-mic');
    await ben.seesTile(ada, { muted: true });
    await ada.press('control-mic');
    await ben.seesTile(ada, { muted: false });
    await ben.hears(ada);

    await ben.press('control-camera');
    await ada.seesTile(ben, { camera: false });
    await ben.press('control-camera');
    await ada.seesTile(ben, { camera: true });
    await ada.seesFrames(ben);

    await ada.openChat();
    await ben.openChat();
    await ada.says('Guten Morgen');
    await ben.reads('Guten Morgen');
    await ben.says('Bom dia ☕');
    await ada.reads('Bom dia ☕');

    await ben.leave();
    await ada.seesExactly([]);
    await ada.close();
    await ben.close();
  });

  test(`${name}: four participants see and hear each other`, options, async (t) => {
    const meeters = [];
    for (const who of ['Ada', 'Ben', 'Cleo', 'Dov']) meeters.push(await join(who, 'four'));
    await allMeet(t, meeters);
    if (process.env.TAKE_SCREENSHOT === '1' && name === 'chromium') await takePicture(meeters[0]);
    await meeters[3].leave();
    for (const one of meeters.slice(0, 3)) await one.seesExactly(meeters.slice(0, 3).filter((other) => other !== one));
    for (const one of meeters) await one.close();
  });

  test(`${name}: the controls stay on a phone's screen, in the lobby and in the meeting`, options, async () => {
    const phone = await Meeter.open(browser, server.url, { name: 'Pia', room: 'phone', size: PHONE });
    await phone.fits(['name-input', 'room-input', 'preview-video']);
    await phone.enter();
    const desk = await join('Dan', 'phone');
    await phone.seesExactly([desk]);
    await phone.fits(CONTROLS);
    await phone.openChat();
    await phone.fits(['chat-input', 'chat-send']);
    await phone.close();
    await desk.close();
  });

  test(`${name}: a refused camera is explained, and the user still joins and watches`, options, async () => {
    const refusing = await launch(name, { devices: 'denied' });
    try {
      const sender = await join('Sam', 'watching');
      const watcher = await Meeter.open(refusing, server.url, { name: 'Wim', room: 'watching' });
      const error = await watcher.lobbyError();
      assert.equal(error.kind, 'denied');
      assert.ok(error.text.length > 20, `says what to do: "${error.text}"`);
      await watcher.enter({ camera: false });
      await watcher.seesExactly([sender]);
      await watcher.seesFrames(sender);
      await watcher.hears(sender);
      await sender.seesTile(watcher, { camera: false });
      await watcher.close();
      await sender.close();
    } finally {
      await refusing.shut();
    }
  });

  return { server, test, options };
}

async function takePicture(meeter) {
  await mkdir(new URL('.', `file://${PICTURE}`), { recursive: true });
  await meeter.page.bringToFront();
  await meeter.page.screenshot({ path: PICTURE });
}
