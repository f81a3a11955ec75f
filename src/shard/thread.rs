//! The thread around a shard: its sockets, its mailbox, its clock. Idle it blocks.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use super::load::LoadMeter;
use super::mailbox::Message;
use super::{Arrival, Shard};
use crate::net::udp::{BoundPort, ReceiveBuffers, Received, UdpPort};
use crate::telemetry::counters::ShardCounters;

/// Batches received from one socket before the mailbox and timers are looked at again.
const BATCHES_PER_ROUND: usize = 16;
/// Messages taken before the sockets are looked at again: an offer takes about a millisecond.
const MESSAGES_PER_ROUND: usize = 8;

/// Datagrams handled before what they caused is sent: as many runs, and no more memory than these times the subscribers.
const DATAGRAMS_PER_SEND: usize = 64;

pub struct ShardThread {
    shard: Shard,
    ports: Vec<UdpPort>,
    mailbox: mpsc::Receiver<Message>,
    counters: Arc<ShardCounters>,
    meter: LoadMeter,
    buffers: ReceiveBuffers,
    received: Vec<Received>,
}

impl ShardThread {
    /// Runs a shard on the calling thread, with a runtime of its own, until it was told to shut down or nobody can tell it
    /// anything any more.
    pub fn run(
        shard: Shard,
        ports: Vec<BoundPort>,
        mailbox: mpsc::Receiver<Message>,
        counters: Arc<ShardCounters>,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let ports = ports.into_iter().map(UdpPort::attach).collect::<io::Result<_>>()?;
            let (buffers, received) = (ReceiveBuffers::default(), Vec::new());
            let meter = LoadMeter::new(Instant::now());
            ShardThread { shard, ports, mailbox, counters, meter, buffers, received }.turn().await;
            Ok(())
        })
    }

    async fn turn(mut self) {
        loop {
            let now = Instant::now();
            if let Some(share) = self.meter.turn(now) {
                self.counters.busy_percent.set(share);
            }
            let busy = self.receive(now);
            self.shard.handle_timeout(now);
            self.send();
            let (open, messages) = self.take_messages(now);
            self.send();
            if !open || self.shard.is_drained() {
                return;
            }
            if busy || messages {
                // Only a pause lets the runtime look at the sockets again; without it what one of them lacked stays so.
                yield_now().await;
            } else if !self.wait().await {
                return;
            }
        }
    }

    /// Takes what the sockets hold, within bounds. True when there may be more.
    fn receive(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for socket in 0..self.ports.len() {
            for round in 0..BATCHES_PER_ROUND {
                let count = self.ports[socket].receive(&mut self.buffers);
                if count == 0 {
                    break;
                }
                busy |= round + 1 == BATCHES_PER_ROUND;
                self.handle_batch(now, socket, count);
            }
        }
        busy
    }

    fn handle_batch(&mut self, now: Instant, socket: usize, count: usize) {
        self.buffers.datagrams(count, &mut self.received);
        let received = std::mem::take(&mut self.received);
        for slice in received.chunks(DATAGRAMS_PER_SEND) {
            let buffer = self.buffers.bytes_mut();
            for datagram in slice {
                let arrival = Arrival { from: datagram.from, socket, local_ip: datagram.local_ip };
                self.shard.handle_datagram(now, arrival, buffer, datagram.range.clone());
            }
            self.shard.end_batch(now, buffer);
            self.send();
        }
        self.received = received;
    }

    fn send(&mut self) {
        let batch = self.shard.outgoing();
        for transmit in batch.transmits() {
            let Some(port) = self.ports.get(transmit.route.local.socket) else {
                continue;
            };
            match port.send(batch, transmit) {
                Ok(()) => self.counters.sends.add(1),
                Err(_) => self.counters.send_errors.add(1),
            }
        }
        batch.clear();
    }

    /// Whether the mailbox is still open, and whether there may be more in it.
    fn take_messages(&mut self, now: Instant) -> (bool, bool) {
        for _ in 0..MESSAGES_PER_ROUND {
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
        self.meter.sleeps(Instant::now());
        let ports = &self.ports;
        let readable = poll_fn(|cx| {
            let ready = ports.iter().any(|port| port.poll_readable(cx).is_ready());
            if ready { Poll::Ready(()) } else { Poll::Pending }
        });
        let deadline = self.shard.poll_timeout().into_iter().chain(self.meter.poll_timeout()).min();
        let timer = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            () = readable => return true,
            () = timer => return true,
            message = self.mailbox.recv() => message,
        };
        match message {
            Some(message) => {
                self.shard.handle_message(Instant::now(), message);
                self.send();
                !self.shard.is_drained()
            }
            None => false,
        }
    }
}
