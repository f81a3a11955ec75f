// React's view of the local devices: the store's state, and what the browser lists.
import { useEffect, useState, useSyncExternalStore } from 'react';
import type { DevicesState, LocalDevices } from './localDevices';

export function useDevicesState(devices: LocalDevices): DevicesState {
  return useSyncExternalStore(devices.subscribe, devices.getState);
}

/** Devices of one kind that can be told apart. Browsers hide ids and labels until one was granted,
 *  so pass something that changes with a grant as `refresh`. Never causes a prompt. */
export function useDeviceList(kind: MediaDeviceKind, refresh: unknown): MediaDeviceInfo[] {
  const [list, setList] = useState<MediaDeviceInfo[]>([]);
  useEffect(() => {
    const media = navigator.mediaDevices as MediaDevices | undefined;
    if (typeof media?.enumerateDevices !== 'function') return;
    let current = true;
    const update = () => {
      media.enumerateDevices().then(
        (all) => current && setList(all.filter((device) => device.kind === kind && device.deviceId !== '')),
        () => current && setList([]),
      );
    };
    update();
    media.addEventListener?.('devicechange', update);
    return () => {
      current = false;
      media.removeEventListener?.('devicechange', update);
    };
  }, [kind, refresh]);
  return list;
}
