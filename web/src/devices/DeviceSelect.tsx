// One labelled choice among the devices of a kind.
import { useId } from 'react';
import { Icon, type IconName } from '../ui/Icon';
import { useDeviceList } from './useDevices';

interface Props {
  kind: MediaDeviceKind;
  label: string;
  icon: IconName;
  value: string | undefined;
  onChoose: (deviceId: string) => void;
  /** Changes whenever the browser may list more than before. */
  refresh: unknown;
  testId: string;
}

export function DeviceSelect({ kind, label, icon, value, onChoose, refresh, testId }: Props) {
  const id = useId();
  const list = useDeviceList(kind, refresh);
  const known = list.some((device) => device.deviceId === value);
  return (
    <div className="device-select">
      <label htmlFor={id}>{label}</label>
      <div className="device-select-box">
        <Icon name={icon} />
        <select
          id={id}
          data-testid={testId}
          value={known ? value : (list[0]?.deviceId ?? '')}
          disabled={list.length === 0}
          onChange={(event) => onChoose(event.target.value)}
        >
          {list.length === 0 && <option value="">None to choose</option>}
          {list.map((device, index) => (
            <option key={device.deviceId} value={device.deviceId}>
              {device.label || `${label} ${index + 1}`}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
