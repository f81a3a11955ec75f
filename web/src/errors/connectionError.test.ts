import { ConnectionError, DisconnectReason } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { explainJoinFailure, explainLeave, JoinFailure } from './connectionError';

describe('explainJoinFailure', () => {
  it.each([
    [ConnectionError.notAllowed('invalid token', 401), 'token-refused'],
    [ConnectionError.notAllowed('requested room does not exist', 404), 'token-refused'],
    [ConnectionError.serverUnreachable('no route'), 'unreachable'],
    [ConnectionError.websocket('closed'), 'unreachable'],
    [ConnectionError.timeout('signal'), 'timeout'],
    [ConnectionError.cancelled('aborted'), 'cancelled'],
    [ConnectionError.internal('could not establish pc connection'), 'media-blocked'],
    [ConnectionError.internal('boom'), 'other'],
    [new JoinFailure('no-token-service'), 'no-token-service'],
    [new JoinFailure('unreachable', 'Failed to fetch'), 'unreachable'],
    [undefined, 'other'],
    ['text', 'other'],
  ])('%s is %s', (error, kind) => {
    expect(explainJoinFailure(error).kind).toBe(kind);
  });
  it('keeps the technical reason', () => {
    expect(explainJoinFailure(ConnectionError.notAllowed('token expired', 401)).detail).toBe('token expired');
  });
});

describe('explainLeave', () => {
  it('tells leaving from being removed, replaced and cut off', () => {
    const reasons = [
      DisconnectReason.CLIENT_INITIATED,
      DisconnectReason.DUPLICATE_IDENTITY,
      DisconnectReason.PARTICIPANT_REMOVED,
      DisconnectReason.ROOM_DELETED,
      DisconnectReason.SERVER_SHUTDOWN,
      undefined,
    ];
    expect(new Set(reasons.map((reason) => explainLeave(reason).title)).size).toBe(reasons.length);
  });
  it('takes an unknown reason for a lost connection', () => {
    expect(explainLeave(DisconnectReason.UNKNOWN_REASON)).toEqual(explainLeave(undefined));
  });
});
