// Owns meetings across browsers: Chromium and Firefox in one room, with different payload types and header extension ids.
import { after, before } from 'node:test';
import { launch, skipCallsWithout } from './harness/browser.mjs';
import { Meeter } from './harness/meeting.mjs';
import { serverForFile } from './harness/server.mjs';
import { allMeet } from './scenarios/page.mjs';

const skip = skipCallsWithout('chromium', 'firefox');
const options = { timeout: 120_000, skip };
// Two shards, so that a room is not always on the first.
const { server, test } = serverForFile({ shards: 2 });
const browsers = {};
before(async () => {
  if (skip) return;
  for (const name of ['chromium', 'firefox']) browsers[name] = await launch(name);
}, { timeout: 120_000 });
after(async () => {
  for (const browser of Object.values(browsers)) await browser.shut();
}, { timeout: 60_000 });

for (const [first, second] of [['chromium', 'firefox'], ['firefox', 'chromium']]) {
  test(`${second} meets ${first}, who was there before`, options, async (t) => {
    const room = `mixed-${first}`;
    const early = await Meeter.join(browsers[first], server.url, { name: `early ${first}`, room });
    const late = await Meeter.join(browsers[second], server.url, { name: `late ${second}`, room });
    await allMeet(t, [early, late]);
    await late.press('control-mic');
    await early.seesTile(late, { muted: true });
    await early.says('hello across');
    await late.reads('hello across');
    await late.leave();
    await early.seesExactly([]);
    await early.close();
    await late.close();
  });
}
