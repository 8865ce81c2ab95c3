//! The driver as a program on a simulated host; its peer is another host, and what arrives comes over turmoil's TCP.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use decdn_driver::{
    Limits,
    suite::{Bench, CREDITS, Dice, Hands, Log, Script, Setting, World, until_quiet},
};
use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Gone, Input},
    time::{Span, Time},
    wire::Message,
};
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use turmoil::{
    Builder, Sim,
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

use super::frame;

/// The driver's host.
pub const DRIVER: &str = "driver";
/// The other host.
pub const PEER: &str = "peer";

const PORT: u16 = 9_000;
const TICK: Duration = Duration::from_millis(1);
/// A segment takes so long at most, in ms.
const LATENCY_MAX: u64 = 3;
/// A port takes so long at most, in ms.
const WORK_MAX: u64 = 3;
/// After so long a dial counts as failed.
const DIAL: Duration = Duration::from_millis(20);

/// Simulated time, ports that take some of it, and the way out to the peer.
#[derive(Clone)]
pub struct Simulated {
    dice: Arc<Mutex<Dice>>,
    out: UnboundedSender<(StreamId, Message)>,
}

impl Setting for Simulated {
    fn now(&self) -> Time {
        time(turmoil::sim_elapsed().expect("only the driver's host asks"))
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        let left = at.since(self.now());
        Box::pin(tokio::time::sleep(Duration::from_micros(left.0)))
    }

    fn carry_out(&self, work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let takes = self.dice.lock().unwrap_or_else(PoisonError::into_inner).roll(WORK_MAX + 1);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(takes)).await;
            work.await;
        })
    }

    fn send(&self, stream: StreamId, message: &Message) {
        // Where the host has no network any more, nothing is to be sent either.
        let _ = self.out.send((stream, *message));
    }
}

fn time(elapsed: Duration) -> Time {
    Time(u64::try_from(elapsed.as_micros()).expect("a simulation of less than 500,000 years"))
}

/// What the peer is told to do.
enum Order {
    /// Send this; orders are numbered.
    Say(u64, Box<Input>),
    /// Give the connection up and dial again.
    Redial,
}

/// A simulation with two hosts.
pub struct Turmoil {
    /// For faults between the hosts.
    pub sim: Sim<'static>,
    /// Of the driver that runs now.
    world: Arc<Mutex<Option<World<Simulated>>>>,
    orders: UnboundedSender<Order>,
    said: u64,
    /// The last order that the driver's host has read.
    read: Arc<AtomicU64>,
    answers: Arc<Mutex<Vec<Message>>>,
}

impl Turmoil {
    /// A simulation in which every new start of the driver's host makes a role of its own.
    pub fn new(seed: u64, log: Log, role: impl Fn() -> Script + 'static) -> Self {
        let mut sim = Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .max_message_latency(Duration::from_millis(LATENCY_MAX))
            .tcp_capacity(1 << 12)
            .simulation_duration(Duration::from_secs(1_000_000))
            .build();
        let world = Arc::new(Mutex::new(None));
        let read = Arc::new(AtomicU64::new(0));
        let dice = Arc::new(Mutex::new(Dice(seed)));
        let (orders, ordered) = unbounded_channel();
        let answers = Arc::new(Mutex::new(Vec::new()));

        let (running, read_there) = (Arc::clone(&world), read.clone());
        sim.host(DRIVER, move || {
            let (out, going_out) = unbounded_channel();
            let world = World::new(log.clone(), Simulated { dice: dice.clone(), out });
            *running.lock().expect("no panic while it was held") = Some(world.clone());
            tokio::spawn(serve(world.clone(), read_there.clone(), going_out));
            let running = world.run(role(), Limits::default());
            async move {
                running.await;
                Ok(())
            }
        });
        let (ordered, heard) = (Arc::new(tokio::sync::Mutex::new(ordered)), Arc::clone(&answers));
        sim.host(PEER, move || peer(ordered.clone(), heard.clone()));
        Self { sim, world, orders, said: 0, read, answers }
    }

    /// Lets so much time pass, whatever is under way.
    pub fn run(&mut self, millis: u64) {
        (0..millis).for_each(|_| self.tick());
    }

    /// The peer gives its connection up and dials again; what is on its way may be lost.
    pub fn redial(&mut self) {
        self.order(Order::Redial);
    }

    /// How many inputs have left the suite and not reached the driver's host, or never will.
    pub fn in_flight(&self) -> u64 {
        self.said - self.read.load(Ordering::SeqCst)
    }

    /// What the peer has heard from the driver.
    pub fn answers(&self) -> Vec<Message> {
        self.answers.lock().expect("no panic while it was held").clone()
    }

    /// The ports of the driver that runs now.
    pub fn world(&self) -> World<Simulated> {
        let world = self.world.lock().expect("no panic while it was held");
        world.clone().expect("a host's program starts with the simulation")
    }

    fn order(&mut self, order: Order) {
        self.orders.send(order).unwrap_or_else(|_| panic!("the peer's host has stopped"));
    }

    fn tick(&mut self) {
        self.sim.step().expect("no host fails");
    }
}

impl Bench for Turmoil {
    const INPUTS_PER_STREAM: Option<usize> = Some(CREDITS);
    const SETTLE: Span = Span::from_millis(100);

    fn start(role: Script, log: Log) -> Self {
        let role = Mutex::new(Some(role));
        let once = move || role.lock().expect("no panic while it was held").take().expect("started once");
        Self::new(0, log, once)
    }

    fn arrive(&mut self, input: Input) {
        self.said += 1;
        self.order(Order::Say(self.said, Box::new(input)));
    }

    fn settle(&mut self) {
        until_quiet(|| {
            self.tick();
            let world = self.world();
            !world.is_stopped() && (self.in_flight() > 0 || !world.is_quiet())
        });
    }

    fn hands(&self) -> impl Hands {
        self.world()
    }

    fn now(&mut self) -> Time {
        time(self.sim.elapsed())
    }

    fn advance(&mut self, span: Span) {
        self.run(span.0 / 1_000);
    }
}

/// The driver's transport: one connection, that of the peer. A new one ends the one before it, whatever became of
/// that, and the driver is told so.
async fn serve(
    world: World<Simulated>,
    read: Arc<AtomicU64>,
    mut going_out: UnboundedReceiver<(StreamId, Message)>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let mut next = listener.accept().await?.0;
    loop {
        let (reader, mut writer) = next.into_split();
        let mut up = BTreeSet::new();
        let sending = async {
            while let Some(message) = going_out.recv().await {
                frame::write(&mut writer, &message).await?;
            }
            Ok(())
        };
        let broken = async {
            tokio::select! {
                ended = hear(&world, &read, reader, &mut up) => ended,
                ended = sending => ended,
            }
        };
        next = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            // Broken for whatever reason: what is left is to wait for the peer to come back.
            _ = broken => listener.accept().await?.0,
        };
        for conn in up {
            world.arrive(Input::Disconnected { conn, why: Gone::Lost });
        }
    }
}

/// Reads the peer's inputs as fast as the inbox takes them.
async fn hear(
    world: &World<Simulated>,
    read: &AtomicU64,
    mut reader: OwnedReadHalf,
    up: &mut BTreeSet<ConnId>,
) -> std::io::Result<()> {
    loop {
        world.room().await;
        let (n, input): (u64, Input) = frame::read(&mut reader).await?;
        match &input {
            Input::Connected { conn, .. } => {
                up.insert(*conn);
            }
            Input::Disconnected { conn, .. } => {
                up.remove(conn);
            }
            _ => {}
        }
        world.arrive(input);
        read.store(n, Ordering::SeqCst);
    }
}

/// The other host: says what it is told to say, writes down what it hears, dials again when the connection ends.
async fn peer(
    orders: Arc<tokio::sync::Mutex<UnboundedReceiver<Order>>>,
    heard: Arc<Mutex<Vec<Message>>>,
) -> turmoil::Result {
    let mut orders = orders.lock().await;
    loop {
        let dial = tokio::time::timeout(DIAL, TcpStream::connect((DRIVER, PORT)));
        let Ok(Ok(socket)) = dial.await else {
            tokio::time::sleep(TICK).await;
            continue;
        };
        let (mut reader, mut writer) = socket.into_split();
        let saying = async {
            while let Some(Order::Say(n, input)) = orders.recv().await {
                frame::write(&mut writer, &(n, input)).await?;
            }
            std::io::Result::Ok(())
        };
        let hearing = async {
            loop {
                let (_, message): (StreamId, Message) = frame::read(&mut reader).await?;
                heard.lock().expect("no panic while it was held").push(message);
            }
        };
        // Whichever ends first, by an order or by an error, ends the connection.
        let _: std::io::Result<()> = tokio::select! {
            ended = saying => ended,
            ended = hearing => ended,
        };
    }
}
