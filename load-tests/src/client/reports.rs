//! RTCP of a client (RFC 3550, section 6; RFC 4585): what the server says of its media, and what is told to the server.

use sfumato::wire::rtcp::{self, REPORTS_PER_BLOCK, Report, Writer};

use super::{Client, Shared};
use crate::time::Now;

const CNAME: &str = "load";

impl Client {
    pub(super) fn on_rtcp(&mut self, now: Now, packet: &mut [u8], shared: &mut Shared) {
        let Some(srtp) = &mut self.srtp else { return };
        let Ok(len) = srtp.inbound.open_rtcp(now.instant, packet) else {
            shared.totals.unauthentic += 1;
            return;
        };
        shared.totals.rtcp_received += 1;
        for report in rtcp::read(packet.get(..len).unwrap_or_default()) {
            match report {
                Report::Sender(info) => {
                    let stream = self.streams.iter_mut().find(|stream| stream.ssrc == info.ssrc.0);
                    stream.into_iter().for_each(|stream| stream.on_sender_report(now.instant, info.ntp));
                }
                Report::KeyframeRequest { media, .. } => {
                    shared.totals.keyframe_requests += 1;
                    let stream = self.sending.iter_mut().find(|stream| stream.ssrc() == media);
                    stream.into_iter().for_each(|stream| stream.keyframe_wanted = true);
                }
                _ => {}
            }
        }
    }

    /// Tells which numbered packets arrived since the last time.
    pub(super) fn send_feedback(&mut self, shared: &mut Shared) {
        let Some(arrivals) = &mut self.arrivals else { return };
        let mut compound = std::mem::take(&mut shared.compound);
        let mut feedbacks = Vec::new();
        while let Some(feedback) = arrivals.feedback(self.own_ssrc) {
            feedbacks.push(feedback);
        }
        for feedback in feedbacks {
            compound.clear();
            feedback.write(&mut compound);
            self.send_rtcp(&compound, shared);
        }
        shared.compound = compound;
    }

    /// A compound for each 31 streams received, with a sender report for each stream sent.
    pub(super) fn send_reports(&mut self, now: Now, shared: &mut Shared) {
        let mut compound = std::mem::take(&mut shared.compound);
        let reports: Vec<_> = self.streams.iter_mut().map(|stream| stream.report(now.instant)).collect();
        let mut blocks = reports.chunks(REPORTS_PER_BLOCK);
        compound.clear();
        let mut writer = Writer { out: &mut compound };
        self.sending.iter().for_each(|stream| stream.report(now, &mut writer));
        writer.receiver_report(self.own_ssrc, blocks.next().unwrap_or_default());
        writer.cname(self.own_ssrc, CNAME);
        self.send_rtcp(&compound, shared);
        for block in blocks {
            compound.clear();
            let mut writer = Writer { out: &mut compound };
            writer.receiver_report(self.own_ssrc, block);
            writer.cname(self.own_ssrc, CNAME);
            self.send_rtcp(&compound, shared);
        }
        shared.compound = compound;
    }

    fn send_rtcp(&mut self, compound: &[u8], shared: &mut Shared) {
        let Some(srtp) = &mut self.srtp else { return };
        shared.scratch.clear();
        if srtp.outbound.seal_rtcp(compound, &mut shared.scratch).is_err() {
            shared.totals.send_errors += 1;
            return;
        }
        shared.totals.rtcp_sent += 1;
        let sealed = std::mem::take(&mut shared.scratch);
        self.transmit(&sealed, shared);
        shared.scratch = sealed;
    }
}
