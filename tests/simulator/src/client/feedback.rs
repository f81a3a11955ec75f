//! RTCP of a model client (RFC 3550, section 6; RFC 4585): what it is told of what it sends, and what it tells of what it
//! receives. Requests for lost packets are written, and transport-wide feedback is read, by another implementation than
//! the server's.

use std::time::Duration;

use rtc_shared::marshal::Marshal;
use rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use sfumato::wire::Ssrc;
use sfumato::wire::rtcp::{self as server_rtcp, REPORTS_PER_BLOCK, ReceptionReport, Report, Writer};
use sfumato_load::time::Now;

use super::{Client, VideoReceiver};

/// Packet types and formats of transport-wide feedback.
const TRANSPORT_FEEDBACK: [u8; 2] = [15, 205];
/// Pairs of number and bitmask in one request.
const NACK_PAIRS: usize = 250;

impl Client {
    pub(super) fn on_rtcp(&mut self, at: Duration, datagram: &mut [u8]) {
        let now = self.now(at);
        let Some(srtp) = self.connection.as_mut().and_then(|connection| connection.srtp.as_mut()) else { return };
        let opened = srtp.inbound.open_rtcp(now.instant, datagram);
        let Some(compound) = opened.ok().and_then(|len| datagram.get(..len)) else {
            self.oddities.refused += 1;
            return;
        };
        for report in server_rtcp::read(compound) {
            self.on_report(at, report);
        }
        self.adapt(at, compound);
    }

    fn on_report(&mut self, at: Duration, report: Report<'_>) {
        let now = self.now(at);
        match report {
            Report::Sender(info) => {
                let ssrc = info.ssrc.0;
                self.receivers.get_mut(&ssrc).into_iter().for_each(|r| r.sender_report(now.instant, info.ntp));
                self.audios.get_mut(&ssrc).into_iter().for_each(|s| s.on_sender_report(now.instant, info.ntp));
            }
            Report::Reception { report, .. } => self.measure_round_trip(now, &report),
            Report::KeyframeRequest { media, .. } => {
                let video = self.videos.iter_mut().find(|video| video.ssrc() == media.0);
                video.into_iter().for_each(|video| video.request_keyframe(now.instant));
            }
            Report::Nack { media, packet_id, bitmask } => {
                let following = (0..16).filter(move |bit| bitmask & (1 << bit) != 0);
                let lost = std::iter::once(packet_id).chain(following.map(move |bit| packet_id.wrapping_add(bit + 1)));
                let round_trip_time = self.round_trip_time();
                self.with_senders(|_, videos, mut out| {
                    if let Some(video) = videos.iter_mut().find(|video| video.ssrc() == media.0) {
                        video.repair(now, lost, round_trip_time, &mut out);
                    }
                });
            }
            Report::Remb { .. } | Report::TransportFeedback { .. } | Report::Bye { .. } => {}
        }
    }

    /// RFC 3550, section 6.4.1.
    fn measure_round_trip(&mut self, now: Now, report: &ReceptionReport) {
        let mut own = self.videos.iter().map(|video| video.ssrc()).chain(self.audio.as_ref().map(|audio| audio.ssrc()));
        if report.last_sender_report == 0 || !own.any(|ssrc| ssrc == report.ssrc) {
            return;
        }
        let middle = (now.ntp() >> 16) as u32;
        let units = middle.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay_since_last);
        // What clocks round makes a short time negative.
        if (units as i32) >= 0 {
            self.round_trip_time = Some(Duration::from_secs_f64(f64::from(units) / 65_536.0));
        }
    }

    /// Follows the server's feedback, where the plan says so.
    fn adapt(&mut self, at: Duration, mut compound: &[u8]) {
        let (Some(control), Some(video)) = (&mut self.rate, self.videos.last_mut()) else { return };
        while let Some(&[format, kind, high, low]) = compound.first_chunk::<4>() {
            let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let Some((packet, rest)) = compound.split_at_checked(len) else { return };
            compound = rest;
            if [format & 0x1f, kind] == TRANSPORT_FEEDBACK
                && let Some(rate) = control.feedback(at, packet)
            {
                video.set_rate(rate);
            }
        }
    }

    pub(super) fn send_nack(&mut self, at: Duration, media: u32, numbers: &[u16]) {
        let sender = Ssrc(self.own_ssrc);
        for pairs in nack_pairs_from_sequence_numbers(numbers).chunks(NACK_PAIRS) {
            let nack = TransportLayerNack { sender_ssrc: sender.0, media_ssrc: media, nacks: pairs.to_vec() };
            let mut compound = Vec::new();
            Writer { out: &mut compound }.receiver_report(sender, &[]);
            if let Ok(bytes) = nack.marshal() {
                compound.extend_from_slice(&bytes);
                self.send_rtcp(&compound);
            }
        }
        self.asked.push((at, numbers.len()));
    }

    pub(super) fn request_keyframe(&mut self, at: Duration, media: u32) {
        let sender = Ssrc(self.own_ssrc);
        let mut compound = Vec::new();
        let mut writer = Writer { out: &mut compound };
        writer.receiver_report(sender, &[]);
        writer.picture_loss_indication(sender, Ssrc(media));
        self.send_rtcp(&compound);
        self.keyframe_requests.push(at);
    }

    pub(super) fn send_feedback(&mut self) {
        let sender = Ssrc(self.own_ssrc);
        while let Some(feedback) = self.arrivals.as_mut().and_then(|arrivals| arrivals.feedback(sender)) {
            let mut compound = Vec::new();
            Writer { out: &mut compound }.receiver_report(sender, &[]);
            feedback.write(&mut compound);
            self.send_rtcp(&compound);
        }
    }

    pub(super) fn send_reports(&mut self, now: Now) {
        let sender = Ssrc(self.own_ssrc);
        let videos = self.receivers.values_mut().map(|receiver: &mut VideoReceiver| receiver.report(now.instant));
        let audios = self.audios.values_mut().map(|stream| stream.report(now.instant));
        let reports: Vec<ReceptionReport> = videos.chain(audios).collect();
        let mut blocks = reports.chunks(REPORTS_PER_BLOCK);
        let mut compound = Vec::new();
        let mut writer = Writer { out: &mut compound };
        self.videos.iter().for_each(|video| video.report(now, &mut writer));
        self.audio.iter().for_each(|audio| audio.report(now, &mut writer));
        writer.receiver_report(sender, blocks.next().unwrap_or_default());
        writer.cname(sender, &self.plan.identity);
        self.send_rtcp(&compound);
        for block in blocks {
            let mut compound = Vec::new();
            let mut writer = Writer { out: &mut compound };
            writer.receiver_report(sender, block);
            writer.cname(sender, &self.plan.identity);
            self.send_rtcp(&compound);
        }
    }

    fn send_rtcp(&mut self, compound: &[u8]) {
        let Some(srtp) = self.connection.as_mut().and_then(|connection| connection.srtp.as_mut()) else { return };
        let mut sealed = Vec::new();
        if srtp.outbound.seal_rtcp(compound, &mut sealed).is_ok() {
            self.out.push(sealed);
        }
    }
}
