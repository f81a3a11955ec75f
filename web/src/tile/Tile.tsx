// One participant's camera, or one shared screen: the picture or a stand-in, the name, and who they
// are to the room (speaking, muted, how well connected). Its data- attributes are what tests read.
import { VideoTrack } from '@livekit/components-react';
import { type Participant, Track } from 'livekit-client';
import type { CSSProperties } from 'react';
import { Icon } from '../ui/Icon';
import { avatarHue, initials } from './avatar';
import { Quality } from './Quality';
import { type ParticipantState, useParticipantState } from './useParticipantState';
import './tile.css';

export type TileSource = Track.Source.Camera | Track.Source.ScreenShare;

interface Props {
  participant: Participant;
  source: TileSource;
  style?: CSSProperties | undefined;
}

export function Tile({ participant, source, style }: Props) {
  const state = useParticipantState(participant);
  const publication = participant.getTrackPublication(source);
  const hasPicture = publication?.track !== undefined && !publication.isMuted;
  return (
    <article
      className="tile"
      style={style}
      aria-label={source === Track.Source.Camera ? state.name : `Screen of ${state.name}`}
      data-testid="tile"
      data-identity={state.identity}
      data-source={source}
      data-local={state.isLocal}
      data-muted={!state.isMicrophoneOn}
      data-camera={state.isCameraOn ? 'on' : 'off'}
      data-speaking={state.isSpeaking}
      data-quality={state.quality}
    >
      {publication && hasPicture ? (
        <VideoTrack trackRef={{ participant, source, publication }} />
      ) : (
        <StandIn state={state} source={source} />
      )}
      <Label state={state} source={source} />
    </article>
  );
}

function StandIn({ state, source }: { state: ParticipantState; source: TileSource }) {
  if (source === Track.Source.ScreenShare) return <p className="tile-waiting">The screen is on its way…</p>;
  const hue = { '--hue': avatarHue(state.identity) } as CSSProperties;
  return (
    <div className="avatar" style={hue} aria-hidden="true">
      {initials(state.name)}
    </div>
  );
}

function Label({ state, source }: { state: ParticipantState; source: TileSource }) {
  const isScreen = source === Track.Source.ScreenShare;
  return (
    <div className="tile-label">
      {isScreen && <Icon name="screen" size={16} />}
      {!isScreen && !state.isMicrophoneOn && (
        <span className="tile-muted" role="img" aria-label="Microphone off">
          <Icon name="mic-off" size={16} />
        </span>
      )}
      <span className="tile-name" data-testid="tile-name">
        {state.name}
      </span>
      {state.isLocal && <span className="tile-you">you</span>}
      {!isScreen && <Quality quality={state.quality} />}
    </div>
  );
}
