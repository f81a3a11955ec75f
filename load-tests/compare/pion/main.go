// A forwarder as small as the Pion library allows (RFC 9725; WHEP with the server's offer), for load tests beside other servers:
// what is read from a publisher is written to whoever plays it. It tells what the library itself costs.
//
// What always holds: only loopback is listened on; a session ends with its DELETE, or with the process.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Longest session description, bytes.
const sdpBytes = 256 * 1024

// One RTP packet, bytes.
const packetBytes = 1500

// What is published: one track of each kind, under Chrome's payload types.
var codecs = map[webrtc.RTPCodecType]webrtc.RTPCodecCapability{
	webrtc.RTPCodecTypeAudio: {MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
	webrtc.RTPCodecTypeVideo: {MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{
		{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
	}},
}

// A track as it is forwarded: its writer, and that somebody wants a keyframe of it.
type forwarded struct {
	local   *webrtc.TrackLocalStaticRTP
	refresh chan struct{}
}

type server struct {
	api      *webrtc.API
	mutex    sync.Mutex
	rooms    map[string]map[string][]*forwarded
	sessions map[int]*webrtc.PeerConnection
	next     int
}

func main() {
	port := flag.Int("port", 0, "where to listen for signalling, on loopback; media is on the next port")
	flag.Parse()
	api, err := newAPI(*port + 1)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{api: api, rooms: map[string]map[string][]*forwarded{}, sessions: map[int]*webrtc.PeerConnection{}}
	http.HandleFunc("POST /whip/{room}/{identity}", s.publish)
	http.HandleFunc("POST /others/{room}/{identity}", s.play)
	http.HandleFunc("PATCH /session/{id}", s.answer)
	http.HandleFunc("DELETE /session/{id}", s.end)
	log.Fatal(http.ListenAndServe(net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)), nil))
}

// The library with the codecs that are sent, one UDP port, AES-128-GCM, and its own interceptors for NACK, reports and
// transport-wide feedback to publishers.
func newAPI(port int) (*webrtc.API, error) {
	media, interceptors, settings := &webrtc.MediaEngine{}, &interceptor.Registry{}, webrtc.SettingEngine{}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, err
	}
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetLite(true)
	settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
	err = errors.Join(
		registerCodecs(media),
		webrtc.ConfigureNack(media, interceptors),
		webrtc.ConfigureRTCPReports(interceptors),
		webrtc.ConfigureTWCCSender(media, interceptors),
	)
	with := []func(*webrtc.API){
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(settings),
	}
	return webrtc.NewAPI(with...), err
}

func registerCodecs(media *webrtc.MediaEngine) error {
	audio, video := webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo
	repair := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96"}
	return errors.Join(
		media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: codecs[audio], PayloadType: 111}, audio),
		media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: codecs[video], PayloadType: 96}, video),
		media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: repair, PayloadType: 97}, video),
	)
}

func (s *server) publish(w http.ResponseWriter, r *http.Request) {
	offer, err := body(r)
	if err != nil {
		refuse(w, err)
		return
	}
	s.open(w, func(peer *webrtc.PeerConnection) error {
		if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
			return err
		}
		if err := s.announce(r.PathValue("room"), r.PathValue("identity"), peer); err != nil {
			return err
		}
		answer, err := peer.CreateAnswer(nil)
		return errors.Join(err, peer.SetLocalDescription(answer))
	})
}

// Offers what everybody but this one publishes.
func (s *server) play(w http.ResponseWriter, r *http.Request) {
	s.open(w, func(peer *webrtc.PeerConnection) error {
		for _, track := range s.others(r.PathValue("room"), r.PathValue("identity")) {
			sender, err := peer.AddTrack(track.local)
			if err != nil {
				return err
			}
			go readFeedback(sender, track)
		}
		offer, err := peer.CreateOffer(nil)
		return errors.Join(err, peer.SetLocalDescription(offer))
	})
}

// Makes a session, and replies with its description once its candidates are known.
func (s *server) open(w http.ResponseWriter, describe func(*webrtc.PeerConnection) error) {
	peer, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		refuse(w, err)
		return
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := describe(peer); err != nil {
		refuse(w, errors.Join(err, peer.Close()))
		return
	}
	<-gathered
	s.mutex.Lock()
	s.next++
	id := s.next
	s.sessions[id] = peer
	s.mutex.Unlock()
	w.Header().Set("Location", fmt.Sprintf("/session/%d", id))
	w.Header().Set("Content-Type", "application/sdp")
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, peer.LocalDescription().SDP)
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	answer, err := body(r)
	peer := s.session(r, false)
	if err == nil && peer == nil {
		err = errors.New("no such session")
	}
	if err == nil {
		err = peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) end(w http.ResponseWriter, r *http.Request) {
	if peer := s.session(r, true); peer != nil {
		peer.Close()
	}
	w.WriteHeader(http.StatusOK)
}

func (s *server) session(r *http.Request, remove bool) *webrtc.PeerConnection {
	id, _ := strconv.Atoi(r.PathValue("id"))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	peer := s.sessions[id]
	if remove {
		delete(s.sessions, id)
	}
	return peer
}

// Lets others play what a publisher offers, before its first packet.
func (s *server) announce(room, identity string, peer *webrtc.PeerConnection) error {
	published := map[webrtc.RTPCodecType]*forwarded{}
	for _, transceiver := range peer.GetTransceivers() {
		kind := transceiver.Kind()
		local, err := webrtc.NewTrackLocalStaticRTP(codecs[kind], identity+"-"+kind.String(), identity)
		if err != nil {
			return err
		}
		published[kind] = &forwarded{local: local, refresh: make(chan struct{}, 1)}
	}
	peer.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		track := published[remote.Kind()]
		go track.ask(peer, uint32(remote.SSRC()))
		track.forward(remote)
	})
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.rooms[room] == nil {
		s.rooms[room] = map[string][]*forwarded{}
	}
	for _, track := range published {
		s.rooms[room][identity] = append(s.rooms[room][identity], track)
	}
	return nil
}

// Asks the publisher for the keyframes that are wanted, as long as it is there.
func (track *forwarded) ask(peer *webrtc.PeerConnection, ssrc uint32) {
	for range track.refresh {
		if err := peer.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}); err != nil {
			return
		}
	}
}

// Writes what a publisher sends to all who play it, until it ends.
func (track *forwarded) forward(remote *webrtc.TrackRemote) {
	packet := make([]byte, packetBytes)
	for {
		n, _, err := remote.Read(packet)
		if err != nil {
			return
		}
		if _, err := track.local.Write(packet[:n]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			log.Print(err)
			return
		}
	}
}

func (s *server) others(room, identity string) []*forwarded {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var tracks []*forwarded
	for publisher, published := range s.rooms[room] {
		if publisher != identity {
			tracks = append(tracks, published...)
		}
	}
	return tracks
}

// Reads a subscriber's RTCP, which answers its NACKs, and passes on that it wants a keyframe.
func readFeedback(sender *webrtc.RTPSender, track *forwarded) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				select {
				case track.refresh <- struct{}{}:
				default: // One is wanted already.
				}
			}
		}
	}
}

func body(r *http.Request) (string, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, sdpBytes))
	return string(text), err
}

func refuse(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusBadRequest)
}
