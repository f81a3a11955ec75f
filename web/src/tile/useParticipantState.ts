// What a tile and the controls show of a participant, kept current by the participant's own events.
import { type Participant, ParticipantEvent } from 'livekit-client';
import { useEffect, useReducer } from 'react';

const SHOWN_EVENTS = [
  ParticipantEvent.TrackMuted,
  ParticipantEvent.TrackUnmuted,
  ParticipantEvent.TrackPublished,
  ParticipantEvent.TrackUnpublished,
  ParticipantEvent.TrackSubscribed,
  ParticipantEvent.TrackUnsubscribed,
  ParticipantEvent.LocalTrackPublished,
  ParticipantEvent.LocalTrackUnpublished,
  ParticipantEvent.IsSpeakingChanged,
  ParticipantEvent.ConnectionQualityChanged,
  ParticipantEvent.ParticipantNameChanged,
  ParticipantEvent.ParticipantPermissionsChanged,
] as const;

export interface ParticipantState {
  identity: string;
  /** The display name, or the identity where there is none. */
  name: string;
  isLocal: boolean;
  isMicrophoneOn: boolean;
  isCameraOn: boolean;
  isScreenShared: boolean;
  isSpeaking: boolean;
  /** 'excellent', 'good', 'poor', 'lost' or 'unknown'. */
  quality: string;
  canPublish: boolean;
  canPublishData: boolean;
}

export function useParticipantState(participant: Participant): ParticipantState {
  const [, update] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    for (const event of SHOWN_EVENTS) participant.on(event, update);
    // Something may have happened between the first render and now.
    update();
    return () => {
      for (const event of SHOWN_EVENTS) participant.off(event, update);
    };
  }, [participant]);
  return readParticipant(participant);
}

function readParticipant(participant: Participant): ParticipantState {
  const { identity, permissions } = participant;
  return {
    identity,
    name: participant.name || identity,
    isLocal: participant.isLocal,
    isMicrophoneOn: participant.isMicrophoneEnabled,
    isCameraOn: participant.isCameraEnabled,
    isScreenShared: participant.isScreenShareEnabled,
    isSpeaking: participant.isSpeaking,
    quality: participant.connectionQuality,
    // Absent permissions are those of a server that restricts nothing.
    canPublish: permissions?.canPublish !== false,
    canPublishData: permissions?.canPublishData !== false,
  };
}
