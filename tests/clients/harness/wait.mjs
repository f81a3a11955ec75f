// Owns bounded waiting: nothing in these suites waits without a limit and a name for what it waited for.
import { setTimeout as delay } from 'node:timers/promises';

export { delay };

/** Rejects with a message that names `what` when `promise` has not settled after `ms` milliseconds. */
export async function within(ms, what, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Polls `probe` until it returns something truthy and returns that. The last falsy value or error ends up in the message.
 * @template T
 * @param {string} what  names the thing waited for
 * @param {() => T | Promise<T>} probe
 * @param {{ms?: number, everyMs?: number, describe?: () => unknown}} [options]
 * @returns {Promise<T>}
 */
export async function until(what, probe, { ms = 15_000, everyMs = 100, describe } = {}) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const value = await within(Math.max(1_000, deadline - Date.now()), `answer to the probe for ${what}`, probe());
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) break;
    await delay(everyMs);
  }
  const state = describe ? await describe() : last;
  const shown = state instanceof Error ? state.message : JSON.stringify(state);
  throw new Error(`no ${what} within ${ms} ms (last: ${shown})`);
}
