//! A network in memory under real iroh: datagrams that get lost, come late and out of order, come twice, or don't
//! come at all while the network is cut.
//!
//! The seed draws which datagram meets what. How many there are, and when, is up to QUIC and the clock, so a seed
//! repeats the odds and not the run.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use decdn_io::{stage::Network, transport::TransportLimits};
use iroh::{
    Endpoint, PublicKey, TransportAddr,
    endpoint::{
        Builder,
        transports::{CustomEndpoint, CustomSender, CustomTransport, RecvInfo, Transmit},
    },
};
use iroh_base::CustomAddr;
use n0_watcher::Watchable;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::{Instant, Sleep};

/// The number of this kind of network among iroh's transports: one of those that nobody has.
const KIND: u64 = 0xdec0;
/// Datagrams that wait for one receiver; past them they are dropped, as a router does.
const WAITING_MAX: usize = 4_096;

/// What a network does to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Of a thousand, how many get lost.
    pub lost: u32,
    /// Of a thousand, how many come twice.
    pub doubled: u32,
    /// Each takes so long, by a draw of its own: where the two differ, they overtake each other.
    pub delay_ms: (u64, u64),
    /// Of a thousand, after how many both directions are cut for `cut_ms`.
    pub cuts: u32,
    /// How long such a cut lasts.
    pub cut_ms: u64,
}

/// What a network has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub sent: u64,
    pub lost: u64,
    pub doubled: u64,
    pub overtaken: u64,
    /// Sent while the network was cut.
    pub cut_off: u64,
}

/// A network; clones are the same one.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<Inner>>);

struct Inner {
    faults: Faults,
    dice: ChaCha8Rng,
    /// Cut by the test, until it says otherwise.
    is_cut: bool,
    /// Cut by a draw.
    cut_until: Option<Instant>,
    boxes: BTreeMap<CustomAddr, Mailbox>,
    done: Done,
}

#[derive(Default)]
struct Mailbox {
    /// Which of the endpoints that were here one after the other this is for.
    life: u64,
    /// By when they arrive, and in which order they were sent.
    coming: BTreeMap<(Instant, u64), Datagram>,
    reader: Option<Waker>,
}

struct Datagram {
    from: CustomAddr,
    bytes: Vec<u8>,
}

fn address(id: PublicKey) -> CustomAddr {
    CustomAddr::from((KIND, id.as_bytes().as_slice()))
}

impl Memory {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            faults,
            dice: ChaCha8Rng::seed_from_u64(seed),
            is_cut: false,
            cut_until: None,
            boxes: BTreeMap::new(),
            done: Done::default(),
        })))
    }

    /// Puts an endpoint onto this network, and onto no other.
    pub fn attach(&self, builder: Builder, id: PublicKey) -> Builder {
        let at = address(id);
        let life = self.unplug(id);
        let plug = Plug { at: Watchable::new(vec![at.clone()]), own: at, life, network: self.clone() };
        builder.clear_ip_transports().add_custom_transport(Arc::new(plug))
    }

    /// Takes the endpoint off the network that is there, at once: it can't even say so. The number of one that may come now.
    pub fn unplug(&self, id: PublicKey) -> u64 {
        let mut network = self.lock();
        let mailbox = network.boxes.entry(address(id)).or_default();
        *mailbox = Mailbox { life: mailbox.life + 1, ..Mailbox::default() };
        mailbox.life
    }

    /// Where an endpoint is on this network.
    pub fn place(id: PublicKey) -> TransportAddr {
        TransportAddr::Custom(address(id))
    }

    /// Cuts the network, or mends it. What is on its way still arrives.
    pub fn cut(&self, is_cut: bool) {
        self.lock().is_cut = is_cut;
    }

    pub fn done(&self) -> Done {
        self.lock().done
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while it was held")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("done", &self.done()).finish_non_exhaustive()
    }
}

impl Inner {
    fn draw(&mut self, of_thousand: u32) -> bool {
        of_thousand > 0 && self.dice.next_u32() % 1_000 < of_thousand
    }

    fn send(&mut self, from: &CustomAddr, to: &CustomAddr, bytes: &[u8]) {
        let now = Instant::now();
        self.done.sent += 1;
        if self.is_cut || self.cut_until.is_some_and(|until| now < until) {
            self.done.cut_off += 1;
            return;
        }
        if self.draw(self.faults.cuts) {
            self.cut_until = Some(now + Duration::from_millis(self.faults.cut_ms));
        }
        if self.draw(self.faults.lost) {
            self.done.lost += 1;
            return;
        }
        let copies = if self.draw(self.faults.doubled) { 2 } else { 1 };
        self.done.doubled += copies - 1;
        for copy in 0..copies {
            let (low, high) = self.faults.delay_ms;
            let takes = low + u64::from(self.dice.next_u32()) % (high - low + 1);
            let arrives = now + Duration::from_millis(takes);
            let Some(mailbox) = self.boxes.get_mut(to) else { return };
            if mailbox.coming.len() >= WAITING_MAX {
                self.done.lost += 1;
                return;
            }
            if mailbox.coming.last_key_value().is_some_and(|((last, _), _)| *last > arrives) {
                self.done.overtaken += 1;
            }
            let datagram = Datagram { from: from.clone(), bytes: bytes.to_vec() };
            mailbox.coming.insert((arrives, 2 * self.done.sent + copy), datagram);
            if let Some(reader) = mailbox.reader.take() {
                reader.wake();
            }
        }
    }
}

/// One endpoint's end of the network: what iroh makes a socket, and a sender, of.
#[derive(Clone)]
struct Plug {
    at: Watchable<Vec<CustomAddr>>,
    own: CustomAddr,
    life: u64,
    network: Memory,
}

impl Plug {
    /// Its own, while it is in.
    fn mailbox<'a>(&self, network: &'a mut Inner) -> Option<&'a mut Mailbox> {
        network.boxes.get_mut(&self.own).filter(|mailbox| mailbox.life == self.life)
    }
}

impl fmt::Debug for Plug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plug").field(&self.own).finish()
    }
}

impl CustomTransport for Plug {
    fn bind(&self) -> io::Result<Box<dyn CustomEndpoint>> {
        Ok(Box::new(Socket { plug: self.clone(), alarm: None }))
    }
}

impl CustomSender for Plug {
    fn is_valid_send_addr(&self, addr: &CustomAddr) -> bool {
        addr.id() == KIND
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        to: &CustomAddr,
        _: Option<&CustomAddr>,
        transmit: &Transmit<'_>,
    ) -> Poll<io::Result<()>> {
        let each = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut network = self.network.lock();
        if self.mailbox(&mut network).is_none() {
            return Poll::Ready(Ok(()));
        }
        transmit.contents.chunks(each).for_each(|bytes| network.send(&self.own, to, bytes));
        Poll::Ready(Ok(()))
    }
}

struct Socket {
    plug: Plug,
    /// Rings when the next datagram arrives.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plug.fmt(f)
    }
}

impl CustomEndpoint for Socket {
    fn watch_local_addrs(&self) -> n0_watcher::Direct<Vec<CustomAddr>> {
        self.plug.at.watch()
    }

    fn create_sender(&self) -> Arc<dyn CustomSender> {
        Arc::new(self.plug.clone())
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
        metas: &mut [noq_udp::RecvMeta],
        infos: &mut [RecvInfo],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut network = self.plug.network.lock();
            let Some(mailbox) = self.plug.mailbox(&mut network) else { return Poll::Pending };
            let mut filled = 0;
            while filled < buffers.len() {
                let Some(next) = mailbox.coming.first_entry() else { break };
                if next.key().0 > Instant::now() {
                    break;
                }
                let Datagram { from, bytes } = next.remove();
                // One that nobody could have sent is dropped, as the real socket would.
                let Some(buffer) = buffers[filled].get_mut(..bytes.len()) else { continue };
                buffer.copy_from_slice(&bytes);
                (metas[filled].len, metas[filled].stride) = (bytes.len(), bytes.len());
                infos[filled] = RecvInfo::new(from, Some(self.plug.own.clone()));
                filled += 1;
            }
            if filled > 0 || buffers.is_empty() {
                return Poll::Ready(Ok(filled));
            }
            mailbox.reader = Some(cx.waker().clone());
            let Some(((arrives, _), _)) = mailbox.coming.first_key_value() else { return Poll::Pending };
            let alarm = self.alarm.insert(Box::pin(tokio::time::sleep_until(*arrives)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// A network in memory as a stage takes it.
pub struct Line {
    /// What carries the datagrams.
    pub memory: Memory,
    /// A connection on which nothing moves is gone after this.
    pub idle: Duration,
}

impl Network for Line {
    fn limits(&self) -> TransportLimits {
        TransportLimits { idle: self.idle, ..TransportLimits::default() }
    }

    fn attach(&self, builder: Builder, id: PublicKey) -> Builder {
        self.memory.attach(builder, id)
    }

    fn places(&self, endpoint: &Endpoint) -> Vec<TransportAddr> {
        vec![Memory::place(endpoint.id())]
    }
}
