// One control. While what it started is under way it cannot be pressed again.
import { useState } from 'react';
import { Icon, type IconName } from '../ui/Icon';

interface Props {
  testId: string;
  icon: IconName;
  label: string;
  /** 'on' and 'off' for devices, 'active' and 'idle' for what opens or starts something. */
  state: 'on' | 'off' | 'active' | 'idle' | 'leave';
  badge?: number;
  onPress: () => Promise<unknown> | void;
}

export function ControlButton({ testId, icon, label, state, badge = 0, onPress }: Props) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    if (busy) return;
    setBusy(true);
    try {
      await onPress();
    } finally {
      setBusy(false);
    }
  };
  return (
    <button
      type="button"
      className="control"
      data-testid={testId}
      data-state={state}
      title={state === 'on' || state === 'off' ? `${label} ${state}` : label}
      aria-label={badge > 0 ? `${label}, ${badge} unread` : label}
      aria-pressed={state === 'leave' ? undefined : state === 'on' || state === 'active'}
      aria-busy={busy}
      onClick={() => void press()}
    >
      <span className="control-icon">
        <Icon name={icon} size={22} />
        {badge > 0 && <span className="control-badge">{badge > 99 ? '99+' : badge}</span>}
      </span>
      <span className="control-label" aria-hidden="true">
        {label}
      </span>
    </button>
  );
}
