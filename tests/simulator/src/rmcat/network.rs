//! Time and order of flows that share a path: two bottlenecks, one for each direction, and behind each the rest of each flow's way.
//!
//! What always holds: things happen in the order of their times, and of their making where those are equal; the clock is read once,
//! for the moment that virtual time counts from.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::bottleneck::{Bottleneck, Departed};
use super::media::MediaFlow;
use super::meter::{Meter, SLICE};
use super::sender::Control;
use super::tcp::{Downloads, TcpFlow};
use super::{Content, Departure, End};
use crate::trace::{Mark, Trace};

/// A direction of the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Forward,
    Back,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Forward => Way::Back,
            Way::Back => Way::Forward,
        }
    }
}

/// What changes at a time of a scenario.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Bits a second of one direction.
    Rate(Way, u64),
    Start(usize),
    /// A media flow has nothing to send, or has again.
    Pause(usize, bool),
}

/// What sends.
pub enum Agent {
    Media(Box<MediaFlow>),
    Tcp(Box<TcpFlow>),
}

pub struct Flow {
    pub name: String,
    pub agent: Agent,
    /// The direction its data takes.
    pub way: Way,
    /// One way, of each direction, without the queue.
    delay: Duration,
    started: bool,
    /// Of what goes to the receiver.
    pub meter: Meter,
}

struct Transit {
    flow: usize,
    towards: End,
    content: Content,
}

/// Behind the bottleneck; in the order of time, then of making.
struct Flying {
    at: Duration,
    number: u64,
    transit: Transit,
}

impl PartialEq for Flying {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Flying {}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flying {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct Network {
    base: Instant,
    now: Duration,
    forward: Bottleneck<Transit>,
    back: Bottleneck<Transit>,
    flying: BinaryHeap<Reverse<Flying>>,
    made: u64,
    pub flows: Vec<Flow>,
    /// In order of time.
    steps: VecDeque<(Duration, Step)>,
    sampled: Duration,
    /// Bits a second of the direction forward, from when on.
    pub capacities: Vec<(Duration, u64)>,
    pub trace: Trace,
    random: StdRng,
}

impl Network {
    /// Both directions with this rate, and a queue that holds so much time of it.
    pub fn new(seed: u64, rate: u64, queue: Duration) -> Network {
        let mut trace = Trace::default();
        trace.begin();
        Network {
            base: Instant::now(),
            now: Duration::ZERO,
            forward: Bottleneck::new(rate, queue),
            back: Bottleneck::new(rate, queue),
            flying: BinaryHeap::new(),
            made: 0,
            flows: Vec::new(),
            steps: VecDeque::new(),
            sampled: Duration::ZERO,
            capacities: vec![(Duration::ZERO, rate)],
            trace,
            random: StdRng::seed_from_u64(seed),
        }
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    /// A media flow, which sends from `start` on.
    pub fn media(&mut self, way: Way, delay: Duration, start: Duration, control: Control) -> usize {
        let random = StdRng::seed_from_u64(self.random.random());
        let media = MediaFlow::new(self.base, delay, control, random);
        self.add("media", Agent::Media(Box::new(media)), way, delay, start)
    }

    /// A TCP flow forward.
    pub fn tcp(&mut self, delay: Duration, start: Duration, downloads: Downloads) -> usize {
        let random = StdRng::seed_from_u64(self.random.random());
        let tcp = TcpFlow::new(downloads, random);
        self.add("tcp", Agent::Tcp(Box::new(tcp)), Way::Forward, delay, start)
    }

    fn add(&mut self, kind: &str, agent: Agent, way: Way, delay: Duration, start: Duration) -> usize {
        let id = self.flows.len();
        let name = format!("{kind} {}", id + 1);
        self.flows.push(Flow { name, agent, way, delay, started: false, meter: Meter::default() });
        self.at(start, Step::Start(id));
        id
    }

    /// Something is to change at a time.
    pub fn at(&mut self, at: Duration, step: Step) {
        let place = self.steps.partition_point(|(other, _)| *other <= at);
        self.steps.insert(place, (at, step));
    }

    /// Everything that happens before `until` happens.
    pub fn run_until(&mut self, until: Duration) {
        while let Some(next) = self.next().filter(|next| *next < until) {
            self.now = self.now.max(next);
            self.happen();
        }
        self.now = self.now.max(until);
        self.flows.iter_mut().for_each(|flow| flow.agent.end(until));
        self.sample(until);
    }

    fn next(&self) -> Option<Duration> {
        let flows = self.flows.iter().filter(|flow| flow.started).filter_map(|flow| flow.agent.due());
        let others = [
            self.forward.due(),
            self.back.due(),
            self.flying.peek().map(|Reverse(flying)| flying.at),
            self.steps.front().map(|(at, _)| *at),
            Some(self.sampled + SLICE),
        ];
        others.into_iter().flatten().chain(flows).min()
    }

    fn happen(&mut self) {
        if self.sampled + SLICE <= self.now {
            self.sample(self.now);
        }
        while self.steps.front().is_some_and(|(at, _)| *at <= self.now) {
            let step = self.steps.pop_front();
            step.into_iter().for_each(|(_, step)| self.step(step));
        }
        for way in [Way::Forward, Way::Back] {
            let now = self.now;
            while let Some(departed) = self.bottleneck(way).pop(now) {
                self.fly(departed);
            }
        }
        while self.flying.peek().is_some_and(|Reverse(flying)| flying.at <= self.now) {
            let Some(Reverse(Flying { transit, .. })) = self.flying.pop() else { break };
            self.act(transit.flow, |agent, now, out| agent.deliver(now, transit.towards, transit.content, out));
        }
        for id in 0..self.flows.len() {
            let due = self.flows.get(id).filter(|flow| flow.started).and_then(|flow| flow.agent.due());
            if due.is_some_and(|due| due <= self.now) {
                self.act(id, |agent, now, out| agent.on_timeout(now, out));
            }
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Rate(way, rate) => {
                self.bottleneck(way).set_rate(now, rate);
                if way == Way::Forward {
                    self.capacities.push((now, rate));
                }
            }
            Step::Start(id) => {
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.started = true;
                    flow.agent.begin(now);
                }
            }
            Step::Pause(id, paused) => {
                if let Some(Agent::Media(media)) = self.flows.get_mut(id).map(|flow| &mut flow.agent) {
                    media.sender.pause(now, paused);
                }
            }
        }
    }

    fn bottleneck(&mut self, way: Way) -> &mut Bottleneck<Transit> {
        match way {
            Way::Forward => &mut self.forward,
            Way::Back => &mut self.back,
        }
    }

    fn fly(&mut self, departed: Departed<Transit>) {
        let Departed { item: transit, bytes, waited } = departed;
        let now = self.now;
        let Some(flow) = self.flows.get_mut(transit.flow) else { return };
        if transit.towards == End::Receiver {
            flow.meter.arrived(now, bytes, waited);
        }
        self.trace.record(Mark::Downlink, now, &[transit.flow as u64, bytes as u64]);
        self.made += 1;
        self.flying.push(Reverse(Flying { at: now + flow.delay, number: self.made, transit }));
    }

    /// Lets a flow act, and sends what it wants sent.
    fn act(&mut self, id: usize, act: impl FnOnce(&mut Agent, Duration, &mut Vec<Departure>)) {
        let mut out = Vec::new();
        let Some(flow) = self.flows.get_mut(id) else { return };
        act(&mut flow.agent, self.now, &mut out);
        let way = flow.way;
        for Departure { towards, bytes, content } in out {
            let way = if towards == End::Receiver { way } else { way.other() };
            let now = self.now;
            let taken = self.bottleneck(way).push(now, Transit { flow: id, towards, content }, bytes);
            if towards == End::Receiver
                && let Some(flow) = self.flows.get_mut(id)
            {
                flow.meter.sent(now, bytes, !taken);
            }
        }
    }

    /// Notes what senders think, of the slice that ends.
    fn sample(&mut self, end: Duration) {
        self.sampled = end;
        let within = end.saturating_sub(Duration::from_micros(1));
        for flow in self.flows.iter_mut().filter(|flow| flow.started) {
            let (target, frozen) = flow.agent.thought(end);
            flow.meter.thought(within, target, frozen);
        }
    }
}

impl Flow {
    pub fn media(&self) -> Option<&MediaFlow> {
        match &self.agent {
            Agent::Media(media) => Some(media),
            Agent::Tcp(_) => None,
        }
    }
}

impl Agent {
    fn begin(&mut self, now: Duration) {
        match self {
            Agent::Media(media) => media.sender.begin(now),
            Agent::Tcp(tcp) => tcp.begin(now),
        }
    }

    fn due(&self) -> Option<Duration> {
        match self {
            Agent::Media(media) => media.due(),
            Agent::Tcp(tcp) => tcp.due(),
        }
    }

    fn on_timeout(&mut self, now: Duration, out: &mut Vec<Departure>) {
        match self {
            Agent::Media(media) => media.on_timeout(now, out),
            Agent::Tcp(tcp) => tcp.on_timeout(now, out),
        }
    }

    fn deliver(&mut self, now: Duration, towards: End, content: Content, out: &mut Vec<Departure>) {
        match (self, towards, content) {
            (Agent::Media(media), End::Receiver, Content::Media(packet)) => media.receiver.receive(now, packet, out),
            (Agent::Media(media), End::Sender, Content::Control(rtcp)) => media.sender.on_control(now, &rtcp, out),
            (Agent::Tcp(tcp), End::Receiver, Content::Segment(segment)) => tcp.receive(segment, out),
            (Agent::Tcp(tcp), End::Sender, Content::Ack(ack)) => tcp.on_ack(now, ack, out),
            _ => {}
        }
    }

    /// What the way is taken for, and how long pictures have stood still.
    fn thought(&self, now: Duration) -> (u64, Duration) {
        match self {
            Agent::Media(media) => (media.sender.target(now), media.receiver.frozen()),
            Agent::Tcp(tcp) => (tcp.rate(), Duration::ZERO),
        }
    }

    fn end(&mut self, now: Duration) {
        if let Agent::Media(media) = self {
            media.receiver.end(now);
        }
    }
}
