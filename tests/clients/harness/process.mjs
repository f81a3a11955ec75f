// Owns starting and ending a child process by its pid, with a reaper beside it for the case that this runner dies first.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { within } from './wait.mjs';

const REAPER = fileURLToPath(new URL('reaper.sh', import.meta.url));

/**
 * Ends `pid` (or the group -pid) if this process dies without calling the function returned.
 * @param {number} pid
 * @returns {() => void} release the guard: the process has been ended properly
 */
export function guard(pid) {
  const reaper = spawn('/bin/sh', [REAPER, String(pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  reaper.stdin.on('error', () => {});
  reaper.unref();
  reaper.stdin.unref?.();
  return () => {
    reaper.stdin.write('done\n');
    reaper.stdin.end();
  };
}

/** Resolves to {code, signal} once the child has exited. */
export function exited(child) {
  if (child.exitCode !== null || child.signalCode !== null) {
    return Promise.resolve({ code: child.exitCode, signal: child.signalCode });
  }
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
}

/**
 * Asks a child to end, then insists.
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} graceMs  time between SIGTERM and SIGKILL
 * @returns {Promise<{code: number | null, signal: string | null, forced: boolean}>}
 */
export async function end(child, graceMs) {
  const gone = exited(child);
  child.kill('SIGTERM');
  try {
    return { ...(await within(graceMs, 'exit after SIGTERM', gone)), forced: false };
  } catch {
    child.kill('SIGKILL');
    return { ...(await within(5_000, 'exit after SIGKILL', gone)), forced: true };
  }
}
