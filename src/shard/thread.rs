//! The thread around a shard: its sockets, its mailbox, its clock. Idle it blocks; under load it polls a little first.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::beat::FeedbackWatch;
use super::load::LoadMeter;
use super::mailbox::Message;
use super::patience::Patience;
use super::switchboard::{Incoming, RETRY, Switchboard};
use super::{Arrival, Shard};
use crate::net::udp::{BATCH, BoundPort, ReceiveBuffers, Received, UdpPort};
use crate::telemetry::counters::ShardCounters;

/// Batches received from one socket before the mailbox and timers are looked at again.
const BATCHES_PER_ROUND: usize = 16;
/// Messages taken before the sockets are looked at again: an offer takes about a millisecond.
const MESSAGES_PER_ROUND: usize = 8;
/// Rounds without a pause after which sockets are looked at that nothing was told of.
const ROUNDS_BETWEEN_LOOKS: usize = 8;
/// Datagrams handled before they are forwarded: a kernel's buffers may hold hundreds, and audio among them is not to wait.
const DATAGRAMS_PER_FORWARDING: usize = 64;

pub struct ShardThread {
    shard: Shard,
    legs: Switchboard,
    ports: Vec<Port>,
    mailbox: mpsc::Receiver<Message>,
    counters: Arc<ShardCounters>,
    meter: LoadMeter,
    buffers: ReceiveBuffers,
    received: Vec<Received>,
    patience: Patience,
    feedback: FeedbackWatch,
}

/// What ended a sleep.
enum Woken {
    ByMessage(Message),
    /// A datagram, a timer or another shard.
    ByOther,
    /// Nobody can tell the shard anything any more.
    Abandoned,
}

/// A socket, and whether it may hold datagrams.
struct Port {
    udp: UdpPort,
    readable: bool,
}

impl ShardThread {
    /// Runs a shard on the calling thread, with a runtime of its own, until it was told to shut down or nobody can tell it
    /// anything any more.
    pub fn run(
        shard: Shard,
        ports: Vec<BoundPort>,
        mailbox: mpsc::Receiver<Message>,
        legs: Switchboard,
        counters: Arc<ShardCounters>,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let attach = |bound| Ok(Port { udp: UdpPort::attach(bound)?, readable: true });
            let now = Instant::now();
            let thread = ShardThread {
                feedback: FeedbackWatch::new(now, shard.beat()),
                shard,
                legs,
                ports: ports.into_iter().map(attach).collect::<io::Result<_>>()?,
                mailbox,
                counters,
                meter: LoadMeter::new(now),
                buffers: ReceiveBuffers::default(),
                received: Vec::new(),
                patience: Patience::default(),
            };
            thread.tell_offload();
            thread.turn().await;
            Ok(())
        })
    }

    async fn turn(mut self) {
        let mut rounds = 0;
        let mut polling = None;
        loop {
            if rounds % ROUNDS_BETWEEN_LOOKS == 0 {
                self.ports.iter_mut().for_each(|port| port.readable = true);
            }
            rounds += 1;
            let busy = self.receive() | self.take_from_shards();
            let now = Instant::now();
            self.counters.turns.add(1);
            // Polled in vain: it would have slept, had the wait been longer.
            if let Some(since) = polling.take().filter(|since| self.patience.is_quiet_since(*since)) {
                self.meter.slept(since, now);
            }
            if let Some(share) = self.meter.turn(now) {
                self.counters.busy_percent.set(share);
                self.tell_offload();
            }
            self.take_feedback(now);
            self.observe_lag(now);
            self.shard.handle_timeout(now);
            self.forward(now);
            let (open, messages) = self.take_messages(now);
            self.send();
            if !open || self.shard.is_drained() {
                return;
            }
            if busy || messages {
                continue;
            }
            if self.patience.polls(now) {
                rounds = 0;
                polling = Some(now);
            } else if self.wait().await {
                rounds = 1;
            } else {
                return;
            }
        }
    }

    /// Takes what the sockets hold, within bounds. True when there may be more.
    fn receive(&mut self) -> bool {
        let mut busy = false;
        for socket in 0..self.ports.len() {
            for _ in 0..BATCHES_PER_ROUND {
                let Some(port) = self.ports.get_mut(socket).filter(|port| port.readable) else {
                    break;
                };
                let count = port.udp.receive(&mut self.buffers);
                port.readable = count == BATCH;
                if count > 0 {
                    self.handle_batch(socket, count);
                }
            }
            busy |= self.ports.get(socket).is_some_and(|port| port.readable);
        }
        busy
    }

    /// Takes transport-wide feedback that the kernel keeps apart, once a beat and within bounds.
    fn take_feedback(&mut self, now: Instant) {
        if !self.feedback.is_due(now) {
            return;
        }
        for socket in 0..self.ports.len() {
            for _ in 0..BATCHES_PER_ROUND {
                let count = self.ports.get(socket).map_or(0, |port| port.udp.receive_feedback(&mut self.buffers));
                if count > 0 {
                    self.feedback.heard(now);
                    self.handle_batch(socket, count);
                }
                if count < BATCH {
                    break;
                }
            }
        }
    }

    /// One clock reading is the time of arrival of the whole batch.
    fn handle_batch(&mut self, socket: usize, count: usize) {
        let now = Instant::now();
        self.patience.arrived(now);
        self.buffers.datagrams(count, &mut self.received);
        let received = std::mem::take(&mut self.received);
        for slice in received.chunks(DATAGRAMS_PER_FORWARDING) {
            for datagram in slice {
                let arrival = Arrival { from: datagram.from, socket, local_ip: datagram.local_ip };
                if let Some(bytes) = self.buffers.bytes_mut().get_mut(datagram.range.clone()) {
                    self.shard.handle_datagram(now, arrival, bytes);
                }
            }
            self.forward(now);
        }
        self.received = received;
    }

    /// Sends what waits and forwards what arrived, one subscriber's share after the other.
    fn forward(&mut self, now: Instant) {
        while self.shard.forward(now) {
            self.send();
        }
        // Answers to what was handled, and keyframe requests of a change of layers, also where nobody had a share.
        self.send();
        if let Some(arrived) = self.shard.take_oldest_sent() {
            // One look at the clock a batch: the packets have left.
            self.counters.quality.forwarding_delay.observe_duration(arrived.elapsed());
        }
    }

    /// By how much later than it should the shard looks at what is due, if anything is.
    fn observe_lag(&self, now: Instant) {
        if let Some(due) = self.shard.poll_timeout().filter(|due| *due <= now) {
            self.counters.quality.loop_lag.observe_duration(now.saturating_duration_since(due));
        }
    }

    /// Takes what other shards handed over, within bounds. True when there may be more.
    fn take_from_shards(&mut self) -> bool {
        for _ in 0..BATCHES_PER_ROUND {
            let Some(incoming) = self.legs.take() else { return false };
            let now = Instant::now();
            match incoming {
                Incoming::Messages(from, messages) => self.shard.handle_leg(now, from, messages),
                Incoming::Media(from, batch) => {
                    self.patience.arrived(now);
                    self.shard.handle_media(now, from, &batch);
                    self.legs.give_back(from, batch);
                }
            }
            self.forward(now);
        }
        true
    }

    fn send(&mut self) {
        let batch = self.shard.outgoing();
        for transmit in batch.transmits() {
            let Some(port) = self.ports.get(transmit.route.local.socket) else {
                continue;
            };
            match port.udp.send(batch, transmit) {
                Ok(()) => self.counters.sends.add(1),
                Err(_) => self.counters.send_errors.add(1),
            }
        }
        batch.clear();
        self.legs.hand_over(self.shard.links(), &self.counters);
    }

    /// Says whether the kernel still joins datagrams: a refusal is learnt from a send.
    fn tell_offload(&self) {
        let least = |segments: fn(&UdpPort) -> usize| self.ports.iter().map(|port| segments(&port.udp)).min();
        self.counters.send_segments.set(least(UdpPort::max_segments).unwrap_or(1) as u64);
        self.counters.receive_segments.set(least(UdpPort::receive_segments).unwrap_or(1) as u64);
        let apart = self.ports.iter().filter(|port| port.udp.keeps_feedback_apart()).count();
        self.counters.feedback_sockets.set(apart as u64);
    }

    /// Whether the mailbox is still open, and whether there may be more in it.
    fn take_messages(&mut self, now: Instant) -> (bool, bool) {
        for _ in 0..MESSAGES_PER_ROUND {
            if self.shard.links().is_congested() {
                return (true, false);
            }
            match self.mailbox.try_recv() {
                Ok(message) => self.shard.handle_message(now, message),
                Err(mpsc::error::TryRecvError::Empty) => return (true, false),
                Err(mpsc::error::TryRecvError::Disconnected) => return (false, false),
            }
        }
        (true, true)
    }

    /// Blocks until a datagram, a message or a timer. False when it is time to end.
    async fn wait(&mut self) -> bool {
        let asleep = Instant::now();
        let woken = self.sleep().await;
        let now = Instant::now();
        self.meter.slept(asleep, now);
        match woken {
            Woken::ByMessage(message) => {
                self.shard.handle_message(now, message);
                self.send();
                !self.shard.is_drained()
            }
            Woken::ByOther => true,
            Woken::Abandoned => false,
        }
    }

    async fn sleep(&mut self) -> Woken {
        let ports = &mut self.ports;
        let readable = poll_fn(|cx| {
            for port in ports.iter_mut() {
                port.readable |= port.udp.poll_readable(cx).is_ready();
            }
            if ports.iter().any(|port| port.readable) { Poll::Ready(()) } else { Poll::Pending }
        });
        let retry = (!self.shard.links().is_idle()).then(|| Instant::now() + RETRY);
        let deadlines = [self.shard.poll_timeout(), self.meter.poll_timeout(), self.feedback.poll_timeout(), retry];
        let deadline = deadlines.into_iter().flatten().min();
        let congested = self.shard.links().is_congested();
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = readable => Woken::ByOther,
            () = timer => Woken::ByOther,
            () = self.legs.readable() => Woken::ByOther,
            message = self.mailbox.recv(), if !congested => message.map_or(Woken::Abandoned, Woken::ByMessage),
        }
    }
}
