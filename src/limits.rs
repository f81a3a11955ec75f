//! Every bound on input or memory: a named constant, its unit, its reason.
//!
//! What always holds: nothing that a peer sends can make the server hold more than these allow, and each bound
//! has a test that reaches it.

use std::time::Duration;

// ---- media port ----

/// Largest datagram accepted on the media port, bytes. Larger than any path MTU WebRTC stacks use.
pub const DATAGRAM_BYTES: usize = 2048;
/// RTCP blocks read from one compound packet; the rest is ignored. Real compounds hold fewer than ten.
pub const RTCP_BLOCKS: usize = 64;
/// Receive streams (SSRC) of one publisher: 3 layers + RTX for several tracks fit; a scan of SSRCs does not.
pub const RECEIVE_STREAMS: usize = 64;
/// Packets kept of one RTP stream for its subscribers, bytes: one second at 8 Mbit/s.
pub const CACHE_BYTES: usize = 1 << 20;
/// Packets kept of one RTP stream: one second at 4,000 packets a second.
pub const CACHE_RECORDS: usize = 4096;
/// Packets remembered of what one subscriber was sent of one stream, to retransmit from: a second at 2,000 packets a second;
/// a screen at 8 Mbit/s makes 900. 12 bytes each, and 20 for each frame.
pub const SENT_PACKETS: usize = 2048;
/// Packets that wait for their turn on the way to one subscriber: what the pacer holds back is some 300 ms, of 8 Mbit/s 300 packets; a
/// catch-up has as many. 40 bytes each, while they wait.
pub const PACED_PACKETS: usize = 2048;
/// Packets one datagram from a subscriber may ask for again (RFC 4585, section 6.2.1); the rest is ignored. Receivers ask for no more
/// than a thousand before they want a keyframe, and of few of these at once; a datagram could name 6,000.
pub const NACKED_PACKETS: usize = 512;
/// Packets of which one transport-wide feedback may tell; the rest is ignored. A second at 8,000 packets a second; a message of
/// 26 bytes could tell of 65,535.
pub const FEEDBACK_STATUSES: u16 = 8_192;
/// Packets remembered of what one subscriber was sent until its feedback tells of them, 8 bytes each: a second at 8,000 packets a
/// second. Memory for so many is taken only at such a rate.
pub const UNTOLD_PACKETS: usize = 8_192;
/// Packets sent at once to a subscriber that begins with a keyframe of a while ago, bytes: a second at 2.4 Mbit/s. More would
/// stand in the queue of a slow link for longer than a new keyframe takes.
pub const CATCH_UP_BYTES: usize = 300_000;
/// Packets of one incoming stream that are missing at once and asked for; of more a keyframe is the sooner remedy. A loss of 10 % in
/// a second of 8 Mbit/s makes less than half of it.
pub const MISSING_PACKETS: usize = 256;
/// DTLS handshake bytes accepted before keys exist. A handshake with certificates takes about 4 KiB.
pub const HANDSHAKE_BYTES: usize = 64 * 1024;
/// Time from a participant's offer to a connected transport, after which it is given up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence (no authenticated packet or check) after which a transport is lost (RFC 7675 asks 30 s at most).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(15);
/// ICE addresses remembered for one transport: enough for Wi-Fi, mobile and IPv6 pairs at once.
pub const ICE_PATHS: usize = 16;

/// Candidates in one fragment of a session description (trickle ICE): a machine with many interfaces has some tens.
pub const ICE_CANDIDATES: usize = 256;

// ---- data channels ----

/// SCTP streams of one association.
pub const SCTP_STREAMS: u16 = 1024;
/// Largest data channel message, bytes. Clients cap theirs at 64,000.
pub const DATA_MESSAGE_BYTES: u32 = 65_536;
/// Bytes queued towards one participant's data channels; a participant whose reliable messages do not fit any more is put
/// out, since it would miss some without knowing.
pub const DATA_QUEUE_BYTES: usize = 4 << 20;
/// Bytes queued on one of its lossy channels, past which messages are dropped: late ones are of no use, and they must
/// not take the room of reliable ones.
pub const LOSSY_QUEUE_BYTES: usize = 256 * 1024;
/// Data tracks one participant may publish.
pub const DATA_TRACKS: usize = 64;

// ---- SDP ----

/// Size of a session description, bytes. A browser writes 5 KB for each video and 1 KB for each audio section, in every
/// offer anew: what `RECEIVE_SECTIONS` needs must fit, or a full room would throw its participants out.
pub const SDP_BYTES: usize = 960 * 1024;
/// Lines of a session description: about 130 for a video section.
pub const SDP_LINES: usize = 32_768;
/// One line of a session description, bytes. The longest that browsers write (m-lines, candidates) take some hundred.
pub const SDP_LINE_BYTES: usize = 4096;
/// Simulcast encodings of one media section, and half the SSRCs and RIDs it may name: browsers send at most 3 encodings,
/// each with RTX.
pub const SDP_ENCODINGS: usize = 16;
/// Media sections of one session.
pub const SDP_SECTIONS: usize = 256;
/// Sections a client is asked to have in all; subscriptions beyond them wait until one is free. 80 cameras with
/// microphones.
pub const RECEIVE_SECTIONS: usize = 160;

// ---- rooms ----

/// Participants in one room.
pub const ROOM_PARTICIPANTS: usize = 5_000;
/// Tracks one participant may publish or announce.
pub const TRACKS_PER_PARTICIPANT: usize = 32;
/// Metadata of a room or participant, bytes.
pub const METADATA_BYTES: usize = 64 * 1024;
/// All attributes of a participant, keys and values, bytes.
pub const ATTRIBUTES_BYTES: usize = 64 * 1024;
/// Participants that one event tells of; more are told in several. Their metadata may be long, and clients bound messages.
pub const PARTICIPANTS_PER_EVENT: usize = 256;
/// Names and identities, bytes.
pub const NAME_BYTES: usize = 256;
/// Subscription wishes for tracks that do not exist (yet), per participant.
pub const PENDING_SUBSCRIPTIONS: usize = 256;

// ---- signalling ----

/// One signalling message, bytes, after inflation: the largest session description and some air.
pub const SIGNAL_MESSAGE_BYTES: usize = 1024 * 1024;
/// Request line and headers of an HTTP request, bytes: a join request holds an offer.
pub const HTTP_HEADER_BYTES: usize = 128 * 1024;
/// Inflated join request, bytes.
pub const JOIN_REQUEST_BYTES: usize = 256 * 1024;
/// Events queued towards one participant's signalling; a client that reads no faster is disconnected.
pub const EVENT_QUEUE: usize = 1024;
/// Messages queued towards one shard.
pub const MAILBOX: usize = 4096;
/// Messages one shard queues towards another that does not take them, bytes; past that the link between them is lost and
/// whom they share is put out. The greatest burst that one command causes, a publisher of 32 tracks leaving a room of 5,000,
/// takes about 30 MiB.
pub const LEG_BACKLOG_BYTES: usize = 64 << 20;
/// Messages queued towards another shard past which no commands are taken until there are fewer, bytes: so clients wait
/// long before a link is lost.
pub const LEG_CONGESTED_BYTES: usize = 16 << 20;
/// Data channel messages among those, bytes: late ones must not take the room of what keeps shards in step.
pub const LEG_DATA_BYTES: usize = 16 << 20;
/// Data channel messages of one participant among those, bytes: as much as SCTP lets a peer send unanswered.
pub const LEG_DATA_SHARE_BYTES: usize = 1 << 20;
/// Bundles of messages on their way to one shard; a bundle is what its sender had for it at once.
pub const LEG_MESSAGES: usize = 64;
/// Batches of packets on their way to one shard: some 50 ms of it at full load.
pub const LEG_BATCHES: usize = 256;
/// Undecodable signalling messages of one client before its connection is closed: one may be a newer client's, more are noise.
pub const SIGNAL_MALFORMED: u32 = 4;
/// Track or participant names in one signalling message; the rest is ignored. Twice the tracks a large room shows at once.
pub const SIGNAL_NAMES: usize = 4096;
/// An access token, bytes: attributes and metadata fit.
pub const TOKEN_BYTES: usize = 64 * 1024;

// ---- HTTP ----

/// Body of a request, bytes: an offer of one audio and one video section takes 10 KiB at most.
pub const HTTP_BODY_BYTES: usize = 64 * 1024;
/// Time for a request's body to arrive.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Sessions of participants that signal by single HTTP requests; for others their open connection counts.
pub const HTTP_SESSIONS: usize = 16_384;
/// Requests to one such session that wait for those before them.
pub const HTTP_SESSION_REQUESTS: usize = 8;

/// TCP connections, WebSockets included: past that new ones wait in the kernel's backlog.
pub const HTTP_CONNECTIONS: u32 = 16_384;
/// Requests and signalling connections of one client address at a time, unless a setting says otherwise; a network of 64 bits
/// counts as one address with IPv6. A large office behind one address fits, and eight such are needed to take every connection.
pub const ADDRESS_CONNECTIONS: u32 = 2048;
/// Times that number of TCP connections, which may be idle, come from one address before it gets no more.
pub const ADDRESS_CONNECTIONS_IDLE_FACTOR: u32 = 2;
/// Proxies between a client and the server that are looked through; a header that names more is malformed.
pub const FORWARDED_HOPS: usize = 16;
/// TLS handshakes that have state at a time; others wait. The library takes no handshake message above 64 KiB, so they hold
/// some 64 MiB at most.
pub const TLS_HANDSHAKES: usize = 1024;
/// Time for a TLS handshake, waiting for a place included: three round trips of a bad mobile link.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A file with certificates or a key, bytes: a chain takes some KiB.
pub const TLS_FILE_BYTES: u64 = 256 * 1024;
/// TCP connections to the operations server: Prometheus, probes and people, some of each.
pub const OPERATIONS_CONNECTIONS: u32 = 64;
/// Time for a request's line and headers to arrive, and for an idle connection to send its next.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for connections to end after shutdown was asked.
pub const HTTP_DRAIN: Duration = Duration::from_secs(10);
/// Time for a signalling message to leave: a client whose window stays closed that long is gone.
pub const SIGNAL_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Participants remembered that left a moment ago, since they may want to come back: as many as can be connected at once.
pub const RETURNING: usize = 16_384;
/// Time for a room to admit a participant.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

// ---- looking into calls ----

/// Decisions kept of one participant: some of the last minute of a bad call, all of a good one. 24 bytes each.
pub const RECORDED_DECISIONS: usize = 128;
/// Seconds of measurements kept of one participant, 32 bytes each.
pub const SERIES_SAMPLES: usize = 60;
/// Headers of one participant's packets while they are recorded, bytes: a minute at 700 packets a second.
pub const RECORDED_BYTES: usize = 2 << 20;
/// Kept of one RTP header with its extensions, bytes: all but a dependency descriptor with its structure fits.
pub const RECORDED_HEADER_BYTES: usize = 96;
/// Kept of one RTCP compound, bytes.
pub const RECORDED_COMPOUND_BYTES: usize = 512;
/// Participants of one shard whose headers are recorded at once: 128 MiB.
pub const RECORDED_PARTICIPANTS: usize = 64;
/// Longest that headers are recorded after one request.
pub const RECORDING_TIME: Duration = Duration::from_secs(24 * 3_600);
/// How long a recording can be had after it ended, or its participant left.
pub const RECORDING_LIFE: Duration = Duration::from_secs(600);
/// Recordings of participants who left, on one shard: some 5 KB each without headers.
pub const RECORDINGS_KEPT: usize = 256;
/// Headers among those, bytes.
pub const RECORDINGS_KEPT_BYTES: usize = 32 << 20;
/// Rooms in one answer, and how far into the list answers reach: a shard copies as many for each.
pub const DEBUG_ROOMS: usize = 100;
pub const DEBUG_ROOMS_REACH: usize = 2_000;
/// Participants in one answer.
pub const DEBUG_PARTICIPANTS: usize = 50;
/// Subscriptions that one shard tells of in one answer: its loop stands still for about a microsecond each.
pub const DEBUG_SUBSCRIPTIONS: usize = 2_000;
/// Requests that are answered at once: each takes the shards' time.
pub const DEBUG_REQUESTS: usize = 4;
/// Time for a shard to answer.
pub const DEBUG_PATIENCE: Duration = Duration::from_secs(1);

// ---- traces ----

/// Joins that are over and wait to be told to a collector of traces: four seconds of a storm of a thousand a second, 400 bytes each.
pub const TRACES_QUEUED: usize = 4096;
/// Joins told in one request: ten spans each, 200 bytes a span.
pub const TRACES_PER_EXPORT: usize = 64;

// ---- configuration ----

/// A configuration file, bytes.
pub const CONFIG_BYTES: u64 = 1 << 20;
/// Shards: one thread and one UDP port each.
pub const SHARDS: usize = 256;
